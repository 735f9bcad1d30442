/* Ranks that check each other's numbers, by messages and by collectives, for so many milliseconds.
   A result that is not right ends the job with 1. */
#include "check.h"

static long long in[5000], out[5000];

int main(int argc, char **argv) {
    int rank, size, more = 1;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    const double until = MPI_Wtime() + atoi(argv[1]) / 1000.0;
    for (long long turn = 0; more; turn++) {
        const int next = (rank + 1) % size, last = (rank + size - 1) % size;
        const int count = turn % 2 ? 5000 : 3;
        for (int at = 0; at < count; at++)
            in[at] = turn * 1000 + rank + at;
        MPI_Sendrecv(in, count, MPI_LONG_LONG, next, 5, out, count, MPI_LONG_LONG, last, 5,
                     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        for (int at = 0; at < count; at++)
            CHECK(out[at] == turn * 1000 + last + at);
        MPI_Allreduce(in, out, count, MPI_LONG_LONG, MPI_SUM, MPI_COMM_WORLD);
        for (int at = 0; at < count; at++)
            CHECK(out[at] == size * (turn * 1000 + at) + size * (size - 1) / 2);
        more = rank > 0 || MPI_Wtime() < until;
        MPI_Bcast(&more, 1, MPI_INT, 0, MPI_COMM_WORLD);
    }
    MPI_Finalize();
    return 0;
}
