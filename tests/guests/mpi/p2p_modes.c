/* Every mode of sending, in every form, to the next rank; messages of no, few and many bytes. */
#include "p2p.h"

#define MOST 100000

static int out[MOST], in[MOST + 1];

typedef int (*blocking)(const void *, int, MPI_Datatype, int, int, MPI_Comm);
typedef int (*started)(const void *, int, MPI_Datatype, int, int, MPI_Comm, MPI_Request *);
typedef int (*blocking_c)(const void *, MPI_Count, MPI_Datatype, int, int, MPI_Comm);
typedef int (*started_c)(const void *, MPI_Count, MPI_Datatype, int, int, MPI_Comm,
                         MPI_Request *);

static blocking sends[] = {MPI_Send, MPI_Ssend, MPI_Rsend, MPI_Bsend};
static blocking_c sends_c[] = {MPI_Send_c, MPI_Ssend_c, MPI_Rsend_c, MPI_Bsend_c};
static started isends[] = {MPI_Isend, MPI_Issend, MPI_Irsend, MPI_Ibsend};
static started_c isends_c[] = {MPI_Isend_c, MPI_Issend_c, MPI_Irsend_c, MPI_Ibsend_c};
static started inits[] = {MPI_Send_init, MPI_Ssend_init, MPI_Rsend_init, MPI_Bsend_init};
static started_c inits_c[] = {MPI_Send_init_c, MPI_Ssend_init_c, MPI_Rsend_init_c,
                              MPI_Bsend_init_c};

static void send_as(int form, int mode, int count, int to, int tag) {
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Status status;
    switch (form) {
    case 0: OK(sends[mode](out, count, MPI_INT, to, tag, MPI_COMM_WORLD)); return;
    case 1: OK(sends_c[mode](out, count, MPI_INT, to, tag, MPI_COMM_WORLD)); return;
    case 2: OK(isends[mode](out, count, MPI_INT, to, tag, MPI_COMM_WORLD, &request)); break;
    case 3: OK(isends_c[mode](out, count, MPI_INT, to, tag, MPI_COMM_WORLD, &request)); break;
    case 4: OK(inits[mode](out, count, MPI_INT, to, tag, MPI_COMM_WORLD, &request)); break;
    default: OK(inits_c[mode](out, count, MPI_INT, to, tag, MPI_COMM_WORLD, &request)); break;
    }
    CHECK(request != MPI_REQUEST_NULL);
    if (form >= 4) {
        OK(MPI_Start(&request));
    }
    status.MPI_ERROR = 77;
    OK(MPI_Wait(&request, &status));
    CHECK(status.MPI_ERROR == 77);
    if (form >= 4) {
        CHECK(request != MPI_REQUEST_NULL);
        OK(MPI_Request_free(&request));
    }
    CHECK(request == MPI_REQUEST_NULL);
}

int main(int argc, char **argv) {
    begin(&argc, &argv);
    int to = (rank + 1) % size, from = (rank + size - 1) % size;
    int room = 2 * (MOST * 4 + MPI_BSEND_OVERHEAD);
    void *buffer = malloc(room), *back;
    OK(MPI_Buffer_attach(buffer, room));
    int counts[] = {0, 1, 3, 1000, MOST};
    for (int i = 0; i < MOST; i++) {
        out[i] = rank * 1000003 + i;
    }
    for (int n = 0; n < 5; n++) {
        for (int form = 0; form < 6; form++) {
            for (int mode = 0; mode < 4; mode++) {
                int count = counts[n], tag = form * 10 + mode, got = -1;
                MPI_Request request;
                MPI_Status status;
                memset(in, 0xff, (count + 1) * sizeof(int));
                OK(MPI_Irecv(in, count + 1, MPI_INT, from, tag, MPI_COMM_WORLD, &request));
                /* The ready modes need the receive to be there. */
                meet();
                send_as(form, mode, count, to, tag);
                status.MPI_ERROR = 78;
                OK(MPI_Wait(&request, &status));
                CHECK(request == MPI_REQUEST_NULL && status.MPI_ERROR == 78);
                CHECK(status.MPI_SOURCE == from && status.MPI_TAG == tag);
                OK(MPI_Get_count(&status, MPI_INT, &got));
                CHECK(got == count && in[count] == -1);
                for (int i = 0; i < count; i++) {
                    CHECK(in[i] == from * 1000003 + i);
                }
            }
        }
    }
    OK(MPI_Buffer_detach(&back, &room));
    CHECK(back == buffer && room == 2 * (MOST * 4 + MPI_BSEND_OVERHEAD));
    OK(MPI_Finalize());
    return 0;
}
