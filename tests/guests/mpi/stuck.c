/* Ranks that wait for what never comes; rank 3 computes for ever. */
#include <mpi.h>

int main(int argc, char **argv) {
    int rank, token = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Send(&token, 1, MPI_INT, (rank + 1) % 4, 1, MPI_COMM_WORLD);
    if (rank == 3)
        for (volatile unsigned turns = 0;; turns++)
            ;
    if (rank == 1)
        MPI_Barrier(MPI_COMM_WORLD);
    MPI_Recv(&token, 1, MPI_INT, 3, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Finalize();
    return 0;
}
