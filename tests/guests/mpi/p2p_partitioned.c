/* Messages in parts: as many on both sides or not, ready in any order, again and again. */
#include "p2p.h"

#define PARTS 12
#define EACH 40

static int out[PARTS * EACH], in[PARTS * EACH];
static int to, from;

static void run(int out_parts, int in_parts, int how) {
    MPI_Request requests[2];
    MPI_Status statuses[2];
    int total = PARTS * EACH, flag;
    OK(MPI_Psend_init(out, out_parts, total / out_parts, MPI_INT, to, 5, MPI_COMM_WORLD,
                      MPI_INFO_NULL, &requests[0]));
    OK(MPI_Precv_init_c(in, in_parts, total / in_parts, MPI_INT, from, 5, MPI_COMM_WORLD,
                        MPI_INFO_NULL, &requests[1]));
    FAILS(MPI_ERR_REQUEST, MPI_Pready(0, requests[0]));
    OK(MPI_Parrived(requests[1], 0, &flag));
    CHECK(flag == 1);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < total; i++) {
            in[i] = -1;
            out[i] = rank * 100000 + round * 1000 + i;
        }
        OK(MPI_Startall(2, requests));
        OK(MPI_Parrived(requests[1], 0, &flag));
        CHECK(flag == 0);
        OK(MPI_Test(&requests[0], &flag, MPI_STATUS_IGNORE));
        CHECK(flag == 0);
        meet();
        if (how == 0) {
            for (int part = 0; part < out_parts; part++) {
                OK(MPI_Pready((part * 5 + round) % out_parts, requests[0]));
            }
        } else if (how == 1) {
            OK(MPI_Pready_range(1, out_parts - 1, requests[0]));
            FAILS(MPI_ERR_ARG, MPI_Pready(1, requests[0]));
            OK(MPI_Pready(0, requests[0]));
        } else {
            int list[PARTS];
            for (int part = 0; part < out_parts; part++) {
                list[part] = out_parts - 1 - part;
            }
            OK(MPI_Pready_list(out_parts, list, requests[0]));
        }
        for (int part = 0; part < in_parts; part++) {
            do {
                OK(MPI_Parrived(requests[1], part, &flag));
            } while (!flag);
            for (int i = part * (total / in_parts); i < (part + 1) * (total / in_parts); i++) {
                CHECK(in[i] == from * 100000 + round * 1000 + i);
            }
        }
        OK(MPI_Waitall(2, requests, statuses));
        CHECK(requests[0] != MPI_REQUEST_NULL && statuses[1].MPI_SOURCE == from);
        int count;
        OK(MPI_Get_count(&statuses[1], MPI_INT, &count));
        CHECK(count == total && statuses[1].MPI_TAG == 5);
        meet();
    }
    FAILS(MPI_ERR_ARG, MPI_Parrived(requests[1], in_parts, &flag));
    OK(MPI_Request_free(&requests[0]));
    OK(MPI_Request_free(&requests[1]));
}

/* A part comes while others are not ready: the sender waits for an answer to it. */
static void one_part_first(void) {
    MPI_Request send, receive;
    int flag, token;
    OK(MPI_Psend_init(out, 2, EACH, MPI_INT, to, 6, MPI_COMM_WORLD, MPI_INFO_NULL, &send));
    OK(MPI_Precv_init(in, 2, EACH, MPI_INT, from, 6, MPI_COMM_WORLD, MPI_INFO_NULL, &receive));
    OK(MPI_Start(&send));
    OK(MPI_Start(&receive));
    OK(MPI_Pready(1, send));
    do {
        OK(MPI_Parrived(receive, 1, &flag));
    } while (!flag);
    OK(MPI_Parrived(receive, 0, &flag));
    CHECK(flag == 0);
    OK(MPI_Sendrecv(&rank, 1, MPI_INT, from, 7, &token, 1, MPI_INT, to, 7, MPI_COMM_WORLD,
                    MPI_STATUS_IGNORE));
    OK(MPI_Pready(0, send));
    OK(MPI_Wait(&receive, MPI_STATUS_IGNORE));
    OK(MPI_Wait(&send, MPI_STATUS_IGNORE));
    OK(MPI_Request_free(&send));
    OK(MPI_Request_free(&receive));
}

/* Two of the same tag are matched in the order in which they were made; plain messages of the tag
 * are others. */
static void in_order(void) {
    MPI_Request r[4];
    int a[2] = {1, 2}, b[2] = {0, 0}, plain = 9, got = 0;
    OK(MPI_Send(&plain, 1, MPI_INT, to, 8, MPI_COMM_WORLD));
    for (int i = 0; i < 2; i++) {
        OK(MPI_Psend_init(&a[i], 1, 1, MPI_INT, to, 8, MPI_COMM_WORLD, MPI_INFO_NULL, &r[i]));
        OK(MPI_Precv_init(&b[i], 1, 1, MPI_INT, from, 8, MPI_COMM_WORLD, MPI_INFO_NULL,
                          &r[2 + i]));
    }
    OK(MPI_Startall(4, r));
    OK(MPI_Pready(0, r[1]));
    OK(MPI_Pready(0, r[0]));
    OK(MPI_Waitall(4, r, MPI_STATUSES_IGNORE));
    CHECK(b[0] == 1 && b[1] == 2);
    OK(MPI_Recv(&got, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD,
                MPI_STATUS_IGNORE));
    CHECK(got == 9);
    for (int i = 0; i < 4; i++) {
        OK(MPI_Request_free(&r[i]));
    }
}

static void nobody_and_errors(void) {
    MPI_Request r = MPI_REQUEST_NULL;
    MPI_Status s;
    MPI_Comm w = MPI_COMM_WORLD;
    int flag = 0;
    OK(MPI_Parrived(MPI_REQUEST_NULL, 0, &flag));
    CHECK(flag == 1);
    OK(MPI_Psend_init(out, 2, 1, MPI_INT, MPI_PROC_NULL, 0, w, MPI_INFO_NULL, &r));
    OK(MPI_Start(&r));
    OK(MPI_Pready_range(0, 1, r));
    OK(MPI_Wait(&r, &s));
    OK(MPI_Request_free(&r));
    OK(MPI_Precv_init(in, 2, 1, MPI_INT, MPI_PROC_NULL, 0, w, MPI_INFO_NULL, &r));
    OK(MPI_Start(&r));
    OK(MPI_Wait(&r, &s));
    CHECK(s.MPI_SOURCE == MPI_PROC_NULL && s.MPI_TAG == MPI_ANY_TAG);
    OK(MPI_Request_free(&r));
    FAILS(MPI_ERR_RANK, MPI_Precv_init(in, 1, 1, MPI_INT, MPI_ANY_SOURCE, 0, w, MPI_INFO_NULL, &r));
    FAILS(MPI_ERR_TAG, MPI_Precv_init(in, 1, 1, MPI_INT, 0, MPI_ANY_TAG, w, MPI_INFO_NULL, &r));
    FAILS(MPI_ERR_ARG, MPI_Psend_init(out, -1, 1, MPI_INT, 0, 0, w, MPI_INFO_NULL, &r));
    FAILS(MPI_ERR_COUNT, MPI_Psend_init(out, 1, -1, MPI_INT, 0, 0, w, MPI_INFO_NULL, &r));
    FAILS(MPI_ERR_RANK, MPI_Psend_init(out, 1, 1, MPI_INT, size, 0, w, MPI_INFO_NULL, &r));
    OK(MPI_Psend_init(out, 4, 1, MPI_INT, rank, 9, w, MPI_INFO_NULL, &r));
    OK(MPI_Start(&r));
    FAILS(MPI_ERR_ARG, MPI_Pready(4, r));
    FAILS(MPI_ERR_ARG, MPI_Pready(-1, r));
    FAILS(MPI_ERR_ARG, MPI_Pready_range(2, 1, r));
    FAILS(MPI_ERR_ARG, MPI_Pready_range(0, 0x7fffffff, r));
    FAILS(MPI_ERR_REQUEST, MPI_Parrived(r, 0, &flag));
    OK(MPI_Pready_range(0, 3, r));
    MPI_Request other;
    OK(MPI_Precv_init(in, 1, 4, MPI_INT, rank, 9, w, MPI_INFO_NULL, &other));
    FAILS(MPI_ERR_REQUEST, MPI_Pready(0, other));
    OK(MPI_Start(&other));
    OK(MPI_Wait(&other, MPI_STATUS_IGNORE));
    OK(MPI_Wait(&r, MPI_STATUS_IGNORE));
    OK(MPI_Request_free(&other));
    OK(MPI_Request_free(&r));
}

int main(int argc, char **argv) {
    begin(&argc, &argv);
    to = (rank + 1) % size;
    from = (rank + size - 1) % size;
    int cuts[][2] = {{12, 12}, {1, 12}, {12, 1}, {4, 6}, {6, 4}, {3, 5}};
    for (int i = 0; i < 6; i++) {
        run(cuts[i][0], cuts[i][1], i == 1 ? 0 : i % 3);
    }
    one_part_first();
    in_order();
    nobody_and_errors();
    OK(MPI_Finalize());
    return 0;
}
