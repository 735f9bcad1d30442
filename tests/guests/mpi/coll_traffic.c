/* One collective, some times: which, how many numbers of each rank for each, how many times. Rank 0
   says the median of the times that it took. */
#include "check.h"

#define MOST 131072

static double in[MOST * 2], out[MOST * 2];

static int earlier(const void *one, const void *two) {
    const double a = *(const double *)one, b = *(const double *)two;
    return (a > b) - (a < b);
}

static void once(const char *what, int count, int root) {
    if (!strcmp(what, "barrier")) {
        MPI_Barrier(MPI_COMM_WORLD);
    } else if (!strcmp(what, "bcast")) {
        MPI_Bcast(in, count, MPI_DOUBLE, root, MPI_COMM_WORLD);
    } else if (!strcmp(what, "reduce")) {
        MPI_Reduce(in, out, count, MPI_DOUBLE, MPI_SUM, root, MPI_COMM_WORLD);
    } else if (!strcmp(what, "allreduce")) {
        MPI_Allreduce(in, out, count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    } else if (!strcmp(what, "gather")) {
        MPI_Gather(in, count, MPI_DOUBLE, out, count, MPI_DOUBLE, root, MPI_COMM_WORLD);
    } else if (!strcmp(what, "scatter")) {
        MPI_Scatter(in, count, MPI_DOUBLE, out, count, MPI_DOUBLE, root, MPI_COMM_WORLD);
    } else if (!strcmp(what, "allgather")) {
        MPI_Allgather(in, count, MPI_DOUBLE, out, count, MPI_DOUBLE, MPI_COMM_WORLD);
    } else if (!strcmp(what, "alltoall")) {
        MPI_Alltoall(in, count, MPI_DOUBLE, out, count, MPI_DOUBLE, MPI_COMM_WORLD);
    } else if (!strcmp(what, "scan")) {
        MPI_Scan(in, out, count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    } else {
        CHECK(!"known");
    }
}

int main(int argc, char **argv) {
    int rank, size;
    static double took[10000];
    CHECK(argc == 4);
    const int count = atoi(argv[2]), times = atoi(argv[3]);
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    CHECK(times <= 10000 && (count <= MOST || !strcmp(argv[1], "bcast")));
    for (int time = 0; time < times; time++) {
        const double begun = MPI_Wtime();
        once(argv[1], count, size - 1);
        took[time] = MPI_Wtime() - begun;
    }
    qsort(took, (size_t)times, sizeof *took, earlier);
    if (rank == 0) {
        printf("%s %d: %.1f us\n", argv[1], count, took[times / 2] * 1e6);
    }
    MPI_Finalize();
    return 0;
}
