/* Requests are cancelled, or are not when it is too late. */
#include "p2p.h"

int main(int argc, char **argv) {
    begin(&argc, &argv);
    int to = (rank + 1) % size, from = (rank + size - 1) % size, in = -1, flag, index;
    MPI_Request request, requests[2];
    MPI_Status status, statuses[2];
    for (int i = 0; i < 20; i++) {
        int one = i;
        OK(MPI_Irecv(&in, 1, MPI_INT, from, 1, MPI_COMM_WORLD, &request));
        OK(MPI_Cancel(&request));
        CHECK(request != MPI_REQUEST_NULL);
        OK(MPI_Wait(&request, &status));
        OK(MPI_Test_cancelled(&status, &flag));
        CHECK(flag == 1 && request == MPI_REQUEST_NULL && in == (i ? i - 1 : -1));
        meet();
        /* The message goes to the next one, which is matched and not cancelled then. */
        OK(MPI_Send(&one, 1, MPI_INT, to, 1, MPI_COMM_WORLD));
        meet();
        OK(MPI_Irecv(&in, 1, MPI_INT, MPI_ANY_SOURCE, 1, MPI_COMM_WORLD, &request));
        OK(MPI_Cancel(&request));
        OK(MPI_Wait(&request, &status));
        OK(MPI_Test_cancelled(&status, &flag));
        CHECK(flag == 0 && in == i && status.MPI_SOURCE == from);
    }
    /* Of several, one is cancelled. */
    OK(MPI_Irecv(&in, 1, MPI_INT, from, 2, MPI_COMM_WORLD, &requests[0]));
    OK(MPI_Irecv(&in, 1, MPI_INT, from, 3, MPI_COMM_WORLD, &requests[1]));
    OK(MPI_Cancel(&requests[1]));
    OK(MPI_Waitany(2, requests, &index, &status));
    OK(MPI_Test_cancelled(&status, &flag));
    CHECK(index == 1 && flag == 1);
    meet();
    OK(MPI_Send(&rank, 1, MPI_INT, to, 2, MPI_COMM_WORLD));
    OK(MPI_Waitall(2, requests, statuses));
    OK(MPI_Test_cancelled(&statuses[0], &flag));
    CHECK(flag == 0 && in == from);
    /* A persistent one: it may be started again. */
    OK(MPI_Recv_init(&in, 1, MPI_INT, from, 4, MPI_COMM_WORLD, &request));
    FAILS(MPI_ERR_REQUEST, MPI_Cancel(&request));
    OK(MPI_Start(&request));
    OK(MPI_Cancel(&request));
    OK(MPI_Wait(&request, &status));
    OK(MPI_Test_cancelled(&status, &flag));
    CHECK(flag == 1);
    meet();
    OK(MPI_Start(&request));
    OK(MPI_Send(&rank, 1, MPI_INT, to, 4, MPI_COMM_WORLD));
    OK(MPI_Wait(&request, &status));
    OK(MPI_Test_cancelled(&status, &flag));
    CHECK(flag == 0 && in == from);
    OK(MPI_Request_free(&request));
    meet();
    /* A send that nobody has received: cancelled, or it arrives; never both. */
    OK(MPI_Issend(&rank, 1, MPI_INT, to, 5, MPI_COMM_WORLD, &request));
    OK(MPI_Cancel(&request));
    int there = -1;
    meet();
    OK(MPI_Iprobe(from, 5, MPI_COMM_WORLD, &there, MPI_STATUS_IGNORE));
    if (there) {
        OK(MPI_Recv(&in, 1, MPI_INT, from, 5, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
    }
    OK(MPI_Wait(&request, &status));
    OK(MPI_Test_cancelled(&status, &flag));
    int cancelled_there = !there, cancelled_here = flag, peer;
    OK(MPI_Sendrecv(&cancelled_there, 1, MPI_INT, from, 6, &peer, 1, MPI_INT, to, 6,
                    MPI_COMM_WORLD, MPI_STATUS_IGNORE));
    CHECK(peer == cancelled_here);
    OK(MPI_Finalize());
    return 0;
}
