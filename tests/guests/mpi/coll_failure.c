/* A rank ends without MPI_Finalize: collectives that need it fail, others go on. */
#include "check.h"

#include <mpi-ext.h>

int main(int argc, char **argv) {
    int rank, size, one = 1, sum = 0;
    static int big[100000], sums[100000];
    MPI_Comm few;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_split(MPI_COMM_WORLD, rank == size - 1, 0, &few);
    MPI_Request request;
    if (rank < size - 1) {
        MPI_Iallreduce(big, sums, 100000, MPI_INT, MPI_SUM, MPI_COMM_WORLD, &request);
    }
    MPI_Barrier(MPI_COMM_SELF);
    if (rank == size - 1) {
        exit(3);
    }
    FAILS(MPIX_ERR_PROC_FAILED, MPI_Wait(&request, MPI_STATUS_IGNORE));
    FAILS(MPIX_ERR_PROC_FAILED, MPI_Barrier(MPI_COMM_WORLD));
    FAILS(MPIX_ERR_PROC_FAILED,
          MPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD));
    CHECK(MPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, few) == MPI_SUCCESS);
    CHECK(sum == size - 1);
    MPI_Finalize();
    return 0;
}
