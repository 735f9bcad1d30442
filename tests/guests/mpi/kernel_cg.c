/* Conjugate gradients on a 2-D grid in strips of rows, as solvers do it: halos by persistent
   requests, dot products by allreduce, a known solution that the result is compared with. */
#include "check.h"

#include <getopt.h>
#include <math.h>

static int rank, size, columns = 48, rows, first;
static double *below, *above;
static MPI_Request halo[4];

static int rows_of(int which) { return columns / size + (which < columns % size); }

static void apply(const double *x, double *y)
{
    MPI_Startall(4, halo);
    MPI_Waitall(4, halo, MPI_STATUSES_IGNORE);
    for (int i = 0; i < rows; i++) {
        const double *down = i > 0 ? x + (i - 1) * columns : below;
        const double *up = i < rows - 1 ? x + (i + 1) * columns : above;
        const double *here = x + i * columns;
        for (int j = 0; j < columns; j++) {
            double sum = 4 * here[j] - down[j] - up[j];
            if (j > 0)
                sum -= here[j - 1];
            if (j < columns - 1)
                sum -= here[j + 1];
            y[i * columns + j] = sum;
        }
    }
}

static double dot(const double *x, const double *y)
{
    double sum = 0, whole;
    for (int i = 0; i < rows * columns; i++)
        sum += x[i] * y[i];
    MPI_Allreduce(&sum, &whole, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return whole;
}

static double *vector(int length) { return calloc((size_t)length + 1, sizeof(double)); }

static void make_halo(double *x)
{
    int from = rank > 0 && rows > 0 ? rank - 1 : MPI_PROC_NULL;
    int to = rank < size - 1 && rows_of(rank + 1) > 0 ? rank + 1 : MPI_PROC_NULL;
    double *last = x + (rows > 0 ? rows - 1 : 0) * columns;
    MPI_Recv_init(below, columns, MPI_DOUBLE, from, 1, MPI_COMM_WORLD, &halo[0]);
    MPI_Recv_init(above, columns, MPI_DOUBLE, to, 2, MPI_COMM_WORLD, &halo[1]);
    MPI_Send_init(x, columns, MPI_DOUBLE, from, 2, MPI_COMM_WORLD, &halo[2]);
    MPI_Send_init(last, columns, MPI_DOUBLE, to, 1, MPI_COMM_WORLD, &halo[3]);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"columns", required_argument, NULL, 'n'},
                                            {NULL, 0, NULL, 0}};
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int option; (option = getopt_long(argc, argv, "n:", options, NULL)) != -1;)
        columns = option == 'n' ? atoi(optarg) : columns;
    rows = rows_of(rank);
    MPI_Exscan(&rows, &first, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    first = rank == 0 ? 0 : first;
    int length = rows * columns, turns = 0;
    double *x = vector(length), *p = vector(length + columns), *q = vector(length);
    double *r = vector(length), *known = vector(length);
    below = vector(columns);
    above = vector(columns);
    make_halo(p);
    for (int i = 0; i < length; i++)
        p[i] = known[i] = sin(0.1 * (first + i / columns)) * cos(0.2 * (i % columns)) + 1;
    apply(p, r);
    memcpy(p, r, (size_t)length * sizeof *p);
    double before = dot(r, r), at_first = before;
    for (; before > 1e-20 * at_first && turns < 400; turns++) {
        apply(p, q);
        double step = before / dot(p, q);
        for (int i = 0; i < length; i++) {
            x[i] += step * p[i];
            r[i] -= step * q[i];
        }
        double now = dot(r, r);
        for (int i = 0; i < length; i++)
            p[i] = r[i] + now / before * p[i];
        before = now;
    }
    double error = 0;
    for (int i = 0; i < length; i++)
        error = fmax(error, fabs(x[i] - known[i]));
    MPI_Allreduce(MPI_IN_PLACE, &error, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    if (rank == 0)
        printf("%d ranks: %d turns, error %.1e\n", size, turns, error);
    CHECK(turns > 10 && turns < 400 && error < 1e-6);
    for (int i = 0; i < 4; i++)
        MPI_Request_free(&halo[i]);
    MPI_Finalize();
    return 0;
}
