/* Messages in communicators of a program, between two groups too, and requests of messages and
 * collectives together. */
#include "p2p.h"

/* What is sent in a copy of a communicator is not received in the original. */
static void copies(void) {
    MPI_Comm copy;
    int one = 1, two = 2, in = 0, flag, to = (rank + 1) % size;
    OK(MPI_Comm_dup(MPI_COMM_WORLD, &copy));
    OK(MPI_Send(&one, 1, MPI_INT, to, 3, MPI_COMM_WORLD));
    OK(MPI_Send(&two, 1, MPI_INT, to, 3, copy));
    OK(MPI_Recv(&in, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, copy, MPI_STATUS_IGNORE));
    CHECK(in == 2);
    OK(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, copy, &flag, MPI_STATUS_IGNORE));
    CHECK(flag == 0);
    OK(MPI_Recv(&in, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
    CHECK(in == 1);
    OK(MPI_Comm_free(&copy));
}

/* Ranks are those of the communicator, and it may be freed while messages are on their way. */
static void backwards(void) {
    MPI_Comm comm;
    MPI_Request request;
    MPI_Status status;
    int me, in = -1;
    OK(MPI_Comm_split(MPI_COMM_WORLD, rank % 2, -rank, &comm));
    OK(MPI_Comm_rank(comm, &me));
    int members = (size + 1 - rank % 2) / 2, next = (me + 1) % members;
    OK(MPI_Irecv(&in, 1, MPI_INT, MPI_ANY_SOURCE, 1, comm, &request));
    OK(MPI_Send(&me, 1, MPI_INT, next, 1, comm));
    OK(MPI_Comm_free(&comm));
    OK(MPI_Wait(&request, &status));
    CHECK(in == (me + members - 1) % members && status.MPI_SOURCE == in);
}

/* Between two groups a rank is one of the other group. */
static void between(void) {
    MPI_Comm half, inter;
    int side = rank % 2, me, others, in = -1;
    MPI_Status status;
    MPI_Request requests[2];
    OK(MPI_Comm_split(MPI_COMM_WORLD, side, rank, &half));
    OK(MPI_Intercomm_create(half, 0, MPI_COMM_WORLD, 1 - side, 9, &inter));
    OK(MPI_Comm_set_errhandler(inter, MPI_ERRORS_RETURN));
    OK(MPI_Comm_rank(inter, &me));
    OK(MPI_Comm_remote_size(inter, &others));
    FAILS(MPI_ERR_RANK, MPI_Send(&me, 1, MPI_INT, others, 0, inter));
    FAILS(MPI_ERR_RANK, MPI_Recv(&in, 1, MPI_INT, others, 0, inter, &status));
    int out = rank * 10;
    if (me < others && 2 * me + 1 < size) {
        OK(MPI_Irecv(&in, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, inter, &requests[0]));
        OK(MPI_Issend(&out, 1, MPI_INT, me, 4, inter, &requests[1]));
        OK(MPI_Wait(&requests[0], &status));
        CHECK(in == (2 * me + 1 - side) * 10 && status.MPI_SOURCE == me);
        OK(MPI_Wait(&requests[1], &status));
        OK(MPI_Sendrecv(&out, 1, MPI_INT, me, 5, &in, 1, MPI_INT, me, 5, inter, &status));
        CHECK(in == (2 * me + 1 - side) * 10);
        OK(MPI_Send(&out, 1, MPI_INT, me, 6, inter));
        OK(MPI_Probe(MPI_ANY_SOURCE, 6, inter, &status));
        CHECK(status.MPI_SOURCE == me);
        OK(MPI_Recv(&in, 1, MPI_INT, status.MPI_SOURCE, 6, inter, &status));
        OK(MPI_Psend_init(&out, 1, 1, MPI_INT, me, 7, inter, MPI_INFO_NULL, &requests[0]));
        OK(MPI_Precv_init(&in, 1, 1, MPI_INT, me, 7, inter, MPI_INFO_NULL, &requests[1]));
        in = -1;
        OK(MPI_Startall(2, requests));
        OK(MPI_Pready(0, requests[0]));
        OK(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE));
        CHECK(in == (2 * me + 1 - side) * 10);
        OK(MPI_Request_free(&requests[0]));
        OK(MPI_Request_free(&requests[1]));
    }
    OK(MPI_Comm_free(&inter));
    OK(MPI_Comm_free(&half));
}

/* Collectives among other requests. */
static void mixed(void) {
    MPI_Request requests[4];
    MPI_Status statuses[4];
    int out = rank, in = -1, sum = -1, flag, left = 4;
    int to = (rank + 1) % size, from = (rank + size - 1) % size;
    OK(MPI_Ibarrier(MPI_COMM_WORLD, &requests[0]));
    FAILS(MPI_ERR_REQUEST, MPI_Cancel(&requests[0]));
    OK(MPI_Irecv(&in, 1, MPI_INT, from, 1, MPI_COMM_WORLD, &requests[1]));
    OK(MPI_Iallreduce(&out, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD, &requests[2]));
    OK(MPI_Isend(&out, 1, MPI_INT, to, 1, MPI_COMM_WORLD, &requests[3]));
    while (left > 0) {
        int count, indices[4];
        OK(MPI_Waitsome(4, requests, &count, indices, statuses));
        CHECK(count > 0);
        left -= count;
    }
    CHECK(in == from && sum == size * (size - 1) / 2);
    OK(MPI_Barrier_init(MPI_COMM_WORLD, MPI_INFO_NULL, &requests[0]));
    OK(MPI_Recv_init(&in, 1, MPI_INT, from, 1, MPI_COMM_WORLD, &requests[1]));
    OK(MPI_Allreduce_init(&out, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD, MPI_INFO_NULL,
                          &requests[2]));
    OK(MPI_Send_init(&out, 1, MPI_INT, to, 1, MPI_COMM_WORLD, &requests[3]));
    for (int round = 0; round < 20; round++) {
        in = sum = -1;
        OK(MPI_Startall(4, requests));
        if (round % 2) {
            OK(MPI_Waitall(4, requests, statuses));
        } else {
            do {
                OK(MPI_Testall(4, requests, &flag, statuses));
            } while (!flag);
        }
        CHECK(in == from && sum == size * (size - 1) / 2);
    }
    for (int i = 0; i < 4; i++) {
        OK(MPI_Request_free(&requests[i]));
    }
}

int main(int argc, char **argv) {
    begin(&argc, &argv);
    copies();
    backwards();
    if (size > 1) {
        between();
    }
    mixed();
    OK(MPI_Finalize());
    return 0;
}
