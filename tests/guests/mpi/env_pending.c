/* Receives from any source while a rank fails: the call says so, the receive goes on. */
#include "check.h"
#include <mpi-ext.h>

int main(int argc, char **argv) {
    int rank, size, got[4] = {0, 0, 0, 0}, acked, flag, index;
    MPI_Request requests[3], again;
    MPI_Status statuses[3];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (rank == 1) {
        for (int other = 0; other < size - 1; other++) {
            MPI_Recv(NULL, 0, MPI_INT, MPI_ANY_SOURCE, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        }
        return 0;
    }
    /* With one from a rank that lives, and one that can be started again. */
    MPI_Irecv(&got[0], 1, MPI_INT, MPI_ANY_SOURCE, 7, MPI_COMM_WORLD, &requests[0]);
    MPI_Irecv(&got[1], 1, MPI_INT, rank, 8, MPI_COMM_WORLD, &requests[1]);
    MPI_Recv_init(&got[2], 1, MPI_INT, MPI_ANY_SOURCE, 9, MPI_COMM_WORLD, &again);
    MPI_Start(&again);
    requests[2] = again;
    MPI_Send(NULL, 0, MPI_INT, 1, 1, MPI_COMM_WORLD);

    FAILS(MPIX_ERR_PROC_FAILED_PENDING, MPI_Wait(&requests[0], MPI_STATUS_IGNORE));
    CHECK(requests[0] != MPI_REQUEST_NULL);
    flag = 9;
    FAILS(MPIX_ERR_PROC_FAILED_PENDING, MPI_Test(&requests[0], &flag, MPI_STATUS_IGNORE));
    CHECK(flag == 0 && requests[0] != MPI_REQUEST_NULL);
    /* The failure is told to one receive after the other. */
    FAILS(MPIX_ERR_PROC_FAILED_PENDING, MPI_Wait(&again, MPI_STATUS_IGNORE));
    FAILS(MPI_ERR_IN_STATUS, MPI_Waitall(3, requests, statuses));
    FAILS(MPIX_ERR_PROC_FAILED_PENDING, statuses[0].MPI_ERROR);
    FAILS(MPI_ERR_PENDING, statuses[1].MPI_ERROR);
    FAILS(MPIX_ERR_PROC_FAILED_PENDING, statuses[2].MPI_ERROR);
    /* One that nobody could wait for again has failed. */
    FAILS(MPIX_ERR_PROC_FAILED, MPI_Recv(&got[3], 1, MPI_INT, MPI_ANY_SOURCE, 7, MPI_COMM_WORLD,
                                         MPI_STATUS_IGNORE));
    FAILS(MPIX_ERR_PROC_FAILED, MPI_Probe(MPI_ANY_SOURCE, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
    /* A message that comes counts more than the doubt. */
    MPI_Send(&rank, 1, MPI_INT, rank, 7, MPI_COMM_WORLD);
    CHECK(MPI_Wait(&requests[0], &statuses[0]) == MPI_SUCCESS);
    CHECK(got[0] == rank && statuses[0].MPI_SOURCE == rank && requests[0] == MPI_REQUEST_NULL);

    CHECK(MPIX_Comm_ack_failed(MPI_COMM_WORLD, size, &acked) == MPI_SUCCESS && acked == 1);
    CHECK(MPI_Test(&again, &flag, MPI_STATUS_IGNORE) == MPI_SUCCESS && !flag);
    MPI_Irecv(&got[0], 1, MPI_INT, MPI_ANY_SOURCE, 7, MPI_COMM_WORLD, &requests[0]);
    CHECK(MPI_Test(&requests[0], &flag, MPI_STATUS_IGNORE) == MPI_SUCCESS && !flag);
    requests[2] = again;
    for (int tag = 7; tag < 10; tag++) {
        MPI_Send(&tag, 1, MPI_INT, rank, tag, MPI_COMM_WORLD);
    }
    CHECK(MPI_Waitany(3, requests, &index, MPI_STATUS_IGNORE) == MPI_SUCCESS);
    CHECK(MPI_Waitall(3, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
    CHECK(got[0] == 7 && got[1] == 8 && got[2] == 9);
    /* What is done alone is none of the others' business. */
    MPI_Send(&rank, 1, MPI_INT, 0, 7, MPI_COMM_SELF);
    CHECK(MPI_Recv(&got[3], 1, MPI_INT, MPI_ANY_SOURCE, 7, MPI_COMM_SELF, MPI_STATUS_IGNORE) ==
          MPI_SUCCESS);
    if (rank == 0) {
        CHECK(MPIX_Comm_revoke(MPI_COMM_SELF) == MPI_SUCCESS);
        MPI_Send(NULL, 0, MPI_INT, 2, 3, MPI_COMM_WORLD);
    } else if (rank == 2) {
        MPI_Recv(NULL, 0, MPI_INT, 0, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        CHECK(MPIX_Comm_is_revoked(MPI_COMM_SELF, &flag) == MPI_SUCCESS && !flag);
    }
    MPI_Request_free(&again);
    MPI_Finalize();
    return 0;
}
