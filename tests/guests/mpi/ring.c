/* A number goes around all ranks, each adds its own. */
#include "check.h"

int main(int argc, char **argv) {
    int rank, size, sum = 0;
    CHECK(MPI_Init(&argc, &argv) == MPI_SUCCESS);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (rank > 0) {
        MPI_Recv(&sum, 1, MPI_INT, rank - 1, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    }
    sum += rank;
    MPI_Send(&sum, 1, MPI_INT, (rank + 1) % size, 7, MPI_COMM_WORLD);
    if (rank == 0) {
        MPI_Recv(&sum, 1, MPI_INT, size - 1, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        CHECK(sum == size * (size - 1) / 2);
    }
    CHECK(MPI_Finalize() == MPI_SUCCESS);
    return 0;
}
