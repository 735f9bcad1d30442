/* Each wrong argument gives its class of error; the first wrong one counts, in the order
 * communicator, count, type, rank, tag, buffer. */
#include "p2p.h"

#define BAD_COMM ((MPI_Comm)0x5555)
#define BAD_TYPE ((MPI_Datatype)0x3fff)
#define BAD_REQUEST ((MPI_Request)0x7777)

static int data[4];

static void sends_and_receives(void) {
    MPI_Request r = MPI_REQUEST_NULL;
    MPI_Status s;
    MPI_Comm w = MPI_COMM_WORLD;
    FAILS(MPI_ERR_COMM, MPI_Send(data, -1, BAD_TYPE, -7, -7, MPI_COMM_NULL));
    FAILS(MPI_ERR_COMM, MPI_Send(data, 1, MPI_INT, 0, 0, BAD_COMM));
    FAILS(MPI_ERR_COUNT, MPI_Send(data, -1, BAD_TYPE, -7, -7, w));
    FAILS(MPI_ERR_TYPE, MPI_Send(data, 1, BAD_TYPE, -7, -7, w));
    FAILS(MPI_ERR_TYPE, MPI_Send(data, 1, MPI_DATATYPE_NULL, -7, -7, w));
    FAILS(MPI_ERR_RANK, MPI_Send(data, 1, MPI_INT, size, -7, w));
    FAILS(MPI_ERR_RANK, MPI_Send(data, 1, MPI_INT, MPI_ANY_SOURCE, 0, w));
    FAILS(MPI_ERR_RANK, MPI_Send(data, 1, MPI_INT, MPI_ROOT, 0, w));
    FAILS(MPI_ERR_TAG, MPI_Send(NULL, 1, MPI_INT, 0, -1, w));
    FAILS(MPI_ERR_TAG, MPI_Send(data, 1, MPI_INT, 0, MPI_ANY_TAG, w));
    FAILS(MPI_ERR_TAG, MPI_Send(data, 1, MPI_INT, MPI_PROC_NULL, -0x7fffffff, w));
    FAILS(MPI_ERR_BUFFER, MPI_Send(NULL, 1, MPI_INT, 0, 0, w));
    FAILS(MPI_ERR_BUFFER, MPI_Send((void *)0xfffffff0, 100, MPI_INT, 0, 0, w));
    FAILS(MPI_ERR_COUNT, MPI_Ssend(data, -1, MPI_INT, 0, 0, w));
    FAILS(MPI_ERR_RANK, MPI_Rsend(data, 1, MPI_INT, -9, 0, w));
    FAILS(MPI_ERR_COUNT, MPI_Send_c(data, -1, MPI_INT, 0, 0, w));
    FAILS(MPI_ERR_COUNT, MPI_Send_c(data, (MPI_Count)1 << 60, MPI_INT, 0, 0, w));
    FAILS(MPI_ERR_BUFFER, MPI_Send_c(data, (MPI_Count)1 << 30, MPI_INT, 0, 0, w));
    FAILS(MPI_ERR_TAG, MPI_Isend(data, 1, MPI_INT, 0, -5, w, &r));
    FAILS(MPI_ERR_ARG, MPI_Isend(data, 1, MPI_INT, MPI_PROC_NULL, 0, w, NULL));
    FAILS(MPI_ERR_RANK, MPI_Send_init(data, 1, MPI_INT, size, 0, w, &r));
    FAILS(MPI_ERR_COMM, MPI_Recv(data, -1, BAD_TYPE, -7, -7, MPI_COMM_NULL, &s));
    FAILS(MPI_ERR_COUNT, MPI_Recv(data, -1, BAD_TYPE, -7, -7, w, &s));
    FAILS(MPI_ERR_TYPE, MPI_Recv(data, 1, BAD_TYPE, -7, -7, w, &s));
    FAILS(MPI_ERR_RANK, MPI_Recv(data, 1, MPI_INT, -7, -7, w, &s));
    FAILS(MPI_ERR_TAG, MPI_Recv(data, 1, MPI_INT, 0, -7, w, &s));
    FAILS(MPI_ERR_BUFFER, MPI_Recv(NULL, 1, MPI_INT, 0, 0, w, &s));
    FAILS(MPI_ERR_RANK, MPI_Irecv(data, 1, MPI_INT, size, 0, w, &r));
    FAILS(MPI_ERR_RANK, MPI_Recv_init(data, 1, MPI_INT, size, 0, w, &r));
    FAILS(MPI_ERR_RANK, MPI_Sendrecv(data, 1, MPI_INT, size, 0, &data[1], 1, MPI_INT, 0, 0, w, &s));
    FAILS(MPI_ERR_RANK, MPI_Sendrecv(data, 1, MPI_INT, 0, 0, &data[1], 1, MPI_INT, size, 0, w, &s));
    FAILS(MPI_ERR_COUNT,
          MPI_Sendrecv(data, 1, MPI_INT, 0, 0, &data[1], -1, MPI_INT, 0, 0, w, &s));
    FAILS(MPI_ERR_TAG, MPI_Sendrecv_replace(data, 1, MPI_INT, 0, 0, 0, -9, w, &s));
    CHECK(r == MPI_REQUEST_NULL);
}

static void others(void) {
    int flag, index, count, indices[2];
    MPI_Request r = BAD_REQUEST, list[2] = {MPI_REQUEST_NULL, BAD_REQUEST}, active;
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status s[2];
    MPI_Comm w = MPI_COMM_WORLD;
    FAILS(MPI_ERR_REQUEST, MPI_Wait(&r, s));
    FAILS(MPI_ERR_REQUEST, MPI_Test(&r, &flag, s));
    FAILS(MPI_ERR_REQUEST, MPI_Waitall(2, list, s));
    FAILS(MPI_ERR_REQUEST, MPI_Testall(2, list, &flag, s));
    FAILS(MPI_ERR_REQUEST, MPI_Waitany(2, list, &index, s));
    FAILS(MPI_ERR_REQUEST, MPI_Testany(2, list, &index, &flag, s));
    FAILS(MPI_ERR_REQUEST, MPI_Waitsome(2, list, &count, indices, s));
    FAILS(MPI_ERR_REQUEST, MPI_Testsome(2, list, &count, indices, s));
    FAILS(MPI_ERR_COUNT, MPI_Waitall(-1, list, s));
    FAILS(MPI_ERR_COUNT, MPI_Waitany(-1, list, &index, s));
    FAILS(MPI_ERR_ARG, MPI_Waitall(1, NULL, s));
    FAILS(MPI_ERR_REQUEST, MPI_Request_free(&r));
    FAILS(MPI_ERR_REQUEST, MPI_Cancel(&r));
    r = MPI_REQUEST_NULL;
    FAILS(MPI_ERR_REQUEST, MPI_Cancel(&r));
    FAILS(MPI_ERR_REQUEST, MPI_Start(&r));
    FAILS(MPI_ERR_REQUEST, MPI_Startall(2, list));
    OK(MPI_Irecv(data, 1, MPI_INT, rank, 0, w, &active));
    r = active;
    FAILS(MPI_ERR_REQUEST, MPI_Start(&active));
    FAILS(MPI_ERR_REQUEST, MPI_Grequest_complete(active));
    FAILS(MPI_ERR_REQUEST, MPI_Pready(0, active));
    FAILS(MPI_ERR_REQUEST, MPI_Parrived(active, 0, &flag));
    OK(MPI_Send(data, 1, MPI_INT, rank, 0, w));
    OK(MPI_Wait(&active, s));
    /* A handle is void once its request is gone. */
    FAILS(MPI_ERR_REQUEST, MPI_Wait(&r, s));
    FAILS(MPI_ERR_COMM, MPI_Probe(0, 0, MPI_COMM_NULL, s));
    FAILS(MPI_ERR_RANK, MPI_Probe(size, 0, w, s));
    FAILS(MPI_ERR_TAG, MPI_Iprobe(0, -9, w, &flag, s));
    FAILS(MPI_ERR_RANK, MPI_Mprobe(-9, 0, w, &message, s));
    FAILS(MPI_ERR_TAG, MPI_Improbe(0, -9, w, &flag, &message, s));
    FAILS(MPI_ERR_REQUEST, MPI_Mrecv(data, 1, MPI_INT, &message, s));
    FAILS(MPI_ERR_REQUEST, MPI_Imrecv(data, 1, MPI_INT, &message, &r));
    FAILS(MPI_ERR_TYPE, MPI_Get_count(s, BAD_TYPE, &count));
    FAILS(MPI_ERR_TYPE, MPI_Get_elements(s, BAD_TYPE, &count));
}

/* The error of a request goes to the handler of its communicator. */
static int called;

static void handler(MPI_Comm *comm, int *code, ...) {
    called++;
    CHECK(*comm == MPI_COMM_SELF && *code == MPI_ERR_TRUNCATE);
}

static void errors_of_requests(void) {
    MPI_Errhandler own;
    MPI_Request r;
    int two[2] = {1, 2};
    OK(MPI_Comm_create_errhandler(handler, &own));
    OK(MPI_Comm_set_errhandler(MPI_COMM_SELF, own));
    for (int comm = 0; comm < 2; comm++) {
        MPI_Comm of = comm ? MPI_COMM_SELF : MPI_COMM_WORLD;
        int me = comm ? 0 : rank;
        OK(MPI_Irecv(data, 1, MPI_INT, me, 0, of, &r));
        OK(MPI_Send(two, 2, MPI_INT, me, 0, of));
        FAILS(MPI_ERR_TRUNCATE, MPI_Wait(&r, MPI_STATUS_IGNORE));
        CHECK(called == comm);
    }
    OK(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN));
}

int main(int argc, char **argv) {
    begin(&argc, &argv);
    sends_and_receives();
    others();
    errors_of_requests();
    OK(MPI_Finalize());
    return 0;
}
