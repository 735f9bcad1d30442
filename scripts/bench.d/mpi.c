// What scripts/bench mpi measures: the same program for faasm and for another MPI.
//
// usage: mpi latency|bandwidth|barrier|allreduce COUNT|alltoall COUNT|jacobi N SWEEPS|nothing
//
// Rank 0 prints numbers: microseconds a time, MB/s for the bandwidth, seconds in all and in MPI for
// jacobi.
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int rank, size;

static void *make(size_t bytes)
{
    void *made = calloc(bytes + 1, 1);
    if (!made)
        MPI_Abort(MPI_COMM_WORLD, 2);
    return made;
}

// Half a round trip of so many bytes between ranks 0 and 1, in microseconds.
static double half_trip(int bytes, int times)
{
    char *buffer = make((size_t)bytes);
    MPI_Barrier(MPI_COMM_WORLD);
    const double begun = MPI_Wtime();
    for (int turn = 0; turn < times; turn++) {
        if (rank == 0) {
            MPI_Send(buffer, bytes, MPI_BYTE, 1, 1, MPI_COMM_WORLD);
            MPI_Recv(buffer, bytes, MPI_BYTE, 1, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        } else if (rank == 1) {
            MPI_Recv(buffer, bytes, MPI_BYTE, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            MPI_Send(buffer, bytes, MPI_BYTE, 0, 1, MPI_COMM_WORLD);
        }
    }
    const double took = MPI_Wtime() - begun;
    MPI_Barrier(MPI_COMM_WORLD);
    free(buffer);
    return took * 1e6 / times / 2;
}

// Bytes a second in one direction, several messages under way, in MB/s.
static double bandwidth(int bytes, int times)
{
    enum { UNDER_WAY = 8 };
    char *buffer = make((size_t)bytes * UNDER_WAY), word = 0;
    MPI_Request requests[UNDER_WAY];
    MPI_Barrier(MPI_COMM_WORLD);
    const double begun = MPI_Wtime();
    for (int turn = 0; turn < times; turn++) {
        for (int i = 0; i < UNDER_WAY; i++) {
            char *at = buffer + (size_t)i * (size_t)bytes;
            if (rank == 0)
                MPI_Isend(at, bytes, MPI_BYTE, 1, 2, MPI_COMM_WORLD, &requests[i]);
            else
                MPI_Irecv(at, bytes, MPI_BYTE, 0, 2, MPI_COMM_WORLD, &requests[i]);
        }
        MPI_Waitall(UNDER_WAY, requests, MPI_STATUSES_IGNORE);
        if (rank == 0)
            MPI_Recv(&word, 1, MPI_BYTE, 1, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        else
            MPI_Send(&word, 1, MPI_BYTE, 0, 3, MPI_COMM_WORLD);
    }
    const double took = MPI_Wtime() - begun;
    free(buffer);
    return (double)bytes * UNDER_WAY * times / took / 1e6;
}

static double collective(const char *what, int count, int times)
{
    double *from = make(sizeof(double) * (size_t)count), *to = make(sizeof(double) * (size_t)count);
    MPI_Barrier(MPI_COMM_WORLD);
    const double begun = MPI_Wtime();
    for (int turn = 0; turn < times; turn++) {
        if (strcmp(what, "barrier") == 0)
            MPI_Barrier(MPI_COMM_WORLD);
        else if (strcmp(what, "allreduce") == 0)
            MPI_Allreduce(from, to, count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        else
            MPI_Alltoall(from, count / size, MPI_DOUBLE, to, count / size, MPI_DOUBLE,
                         MPI_COMM_WORLD);
    }
    const double took = MPI_Wtime() - begun;
    free(from);
    free(to);
    return took * 1e6 / times;
}

// Rows of a plate are dealt out; edges go to the neighbours.
static void jacobi(int n, int sweeps)
{
    const int first = (int)((long long)n * rank / size);
    const int rows = (int)((long long)n * (rank + 1) / size) - first, width = n + 2;
    double *now = make(sizeof(double) * (size_t)(rows + 2) * (size_t)width);
    double *next = make(sizeof(double) * (size_t)(rows + 2) * (size_t)width);
    const int up = rank > 0 ? rank - 1 : MPI_PROC_NULL;
    const int down = rank + 1 < size ? rank + 1 : MPI_PROC_NULL;
    if (rank == 0)
        for (int col = 0; col < width; col++)
            now[col] = next[col] = 100;
    double most = 0, all = 0, talked = 0;
    MPI_Barrier(MPI_COMM_WORLD);
    const double begun = MPI_Wtime();
    for (int turn = 0; turn < sweeps; turn++) {
        double before = MPI_Wtime();
        MPI_Sendrecv(now + width, width, MPI_DOUBLE, up, 1, now + (size_t)(rows + 1) * (size_t)width,
                     width, MPI_DOUBLE, down, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        MPI_Sendrecv(now + (size_t)rows * (size_t)width, width, MPI_DOUBLE, down, 2, now, width,
                     MPI_DOUBLE, up, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        talked += MPI_Wtime() - before;
        most = 0;
        for (int row = 1; row <= rows; row++) {
            const double *from = now + (size_t)row * (size_t)width;
            double *to = next + (size_t)row * (size_t)width;
            for (int col = 1; col <= n; col++)
                to[col] = 0.25 * (from[col - width] + from[col + width] + from[col - 1] + from[col + 1]);
            most = fmax(most, fabs(to[n / 2] - from[n / 2]));
        }
        double *swapped = now;
        now = next;
        next = swapped;
        if (turn % 10 == 9) {
            before = MPI_Wtime();
            MPI_Allreduce(&most, &all, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
            talked += MPI_Wtime() - before;
        }
    }
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0)
        printf("%.6f %.6f\n", MPI_Wtime() - begun, talked);
    free(now);
    free(next);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    const char *what = argc > 1 ? argv[1] : "nothing";
    const int count = argc > 2 ? atoi(argv[2]) : 1;
    double found = 0;
    if (strcmp(what, "latency") == 0) {
        half_trip(8, 200);
        found = half_trip(8, 5000);
    } else if (strcmp(what, "bandwidth") == 0) {
        bandwidth(2 << 20, 5);
        found = bandwidth(2 << 20, 40);
    } else if (strcmp(what, "jacobi") == 0)
        jacobi(count, argc > 3 ? atoi(argv[3]) : 100);
    else if (strcmp(what, "nothing") != 0) {
        const int times = count > 10000 ? 50 : 1000;
        collective(what, count, times / 10);
        found = collective(what, count, times);
    }
    if (rank == 0 && found > 0)
        printf("%.3f\n", found);
    MPI_Finalize();
    return 0;
}
