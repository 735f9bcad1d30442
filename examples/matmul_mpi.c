// C = A B as an MPI job: the ranks are a grid, each with a block of every matrix, and blocks of A go
// along the rows of the grid while blocks of B go along its columns (SUMMA).
//
// usage: matmul_mpi [N]      N x N matrices (256)
//
// The elements are small whole numbers, so that rank 0 can check C against a product of its own
// exactly. The exit code is 1 if it differs.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double a_at(int row, int col)
{
    return (row * 7 + col * 3) % 11 - 5;
}

static double b_at(int row, int col)
{
    return (row * 5 + col * 2) % 13 - 6;
}

static int first_of(int n, int part, int parts)
{
    return (int)((long long)n * part / parts);
}

static double *make(int rows, int cols)
{
    double *block = calloc((size_t)rows * (size_t)cols + 1, sizeof(double));
    if (!block) {
        fprintf(stderr, "matmul_mpi: no memory for %d x %d elements\n", rows, cols);
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    return block;
}

static void multiply(const double *a, const double *b, double *c, int rows, int depth, int cols)
{
    for (int row = 0; row < rows; row++)
        for (int k = 0; k < depth; k++) {
            const double factor = a[(size_t)row * (size_t)depth + (size_t)k];
            const double *from = b + (size_t)k * (size_t)cols;
            double *to = c + (size_t)row * (size_t)cols;
            for (int col = 0; col < cols; col++)
                to[col] += factor * from[col];
        }
}

// Whether a block of C is what it must be.
static int is_wrong(const double *c, int top, int left, int rows, int cols, const double *right, int n)
{
    for (int row = 0; row < rows; row++)
        if (memcmp(c + (size_t)row * (size_t)cols,
                   right + (size_t)(top + row) * (size_t)n + left,
                   (size_t)cols * sizeof(double)) != 0)
            return 1;
    return 0;
}

static double *serial(int n)
{
    double *a = make(n, n), *b = make(n, n), *c = make(n, n);
    for (int row = 0; row < n; row++)
        for (int col = 0; col < n; col++) {
            a[(size_t)row * (size_t)n + (size_t)col] = a_at(row, col);
            b[(size_t)row * (size_t)n + (size_t)col] = b_at(row, col);
        }
    multiply(a, b, c, n, n, n);
    free(a);
    free(b);
    return c;
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    const int n = argc > 1 ? atoi(argv[1]) : 256;
    int rank, size, dims[2] = {0, 0};
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (n < 1 || n > 4096) {
        fprintf(stderr, "usage: matmul_mpi [N], with N of 1 to 4096\n");
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    MPI_Dims_create(size, 2, dims);
    const int my_row = rank / dims[1], my_col = rank % dims[1];
    MPI_Comm along_row, along_col;
    MPI_Comm_split(MPI_COMM_WORLD, my_row, my_col, &along_row);
    MPI_Comm_split(MPI_COMM_WORLD, my_col, my_row, &along_col);

    const int top = first_of(n, my_row, dims[0]), bottom = first_of(n, my_row + 1, dims[0]);
    const int left = first_of(n, my_col, dims[1]), right = first_of(n, my_col + 1, dims[1]);
    const int rows = bottom - top, cols = right - left;
    double *c = make(rows, cols);

    MPI_Barrier(MPI_COMM_WORLD);
    const double begun = MPI_Wtime();
    // Panels: each is within one column of the grid for A, and within one row of it for B.
    for (int from = 0; from < n;) {
        int owner_col = 0, owner_row = 0;
        while (first_of(n, owner_col + 1, dims[1]) <= from)
            owner_col++;
        while (first_of(n, owner_row + 1, dims[0]) <= from)
            owner_row++;
        const int end_a = first_of(n, owner_col + 1, dims[1]);
        const int end_b = first_of(n, owner_row + 1, dims[0]);
        const int to = end_a < end_b ? end_a : end_b, depth = to - from;
        double *a = make(rows, depth), *b = make(depth, cols);
        if (my_col == owner_col)
            for (int row = 0; row < rows; row++)
                for (int k = 0; k < depth; k++)
                    a[(size_t)row * (size_t)depth + (size_t)k] = a_at(top + row, from + k);
        if (my_row == owner_row)
            for (int k = 0; k < depth; k++)
                for (int col = 0; col < cols; col++)
                    b[(size_t)k * (size_t)cols + (size_t)col] = b_at(from + k, left + col);
        MPI_Bcast(a, rows * depth, MPI_DOUBLE, owner_col, along_row);
        MPI_Bcast(b, depth * cols, MPI_DOUBLE, owner_row, along_col);
        multiply(a, b, c, rows, depth, cols);
        free(a);
        free(b);
        from = to;
    }
    MPI_Barrier(MPI_COMM_WORLD);
    const double seconds = MPI_Wtime() - begun;

    double *product = rank == 0 ? serial(n) : NULL;
    int wrong = 0, block[4] = {top, left, rows, cols};
    if (rank == 0) {
        wrong = is_wrong(c, top, left, rows, cols, product, n);
        for (int other = 1; other < size; other++) {
            int theirs[4];
            MPI_Recv(theirs, 4, MPI_INT, other, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            double *part = make(theirs[2], theirs[3]);
            MPI_Recv(part, theirs[2] * theirs[3], MPI_DOUBLE, other, 2, MPI_COMM_WORLD,
                     MPI_STATUS_IGNORE);
            wrong += is_wrong(part, theirs[0], theirs[1], theirs[2], theirs[3], product, n);
            free(part);
        }
        printf("matmul_mpi: %d x %d on %d x %d ranks: %.4f s; %s\n", n, n, dims[0], dims[1], seconds,
               wrong ? "WRONG" : "the same as on one rank");
    } else {
        MPI_Send(block, 4, MPI_INT, 0, 1, MPI_COMM_WORLD);
        MPI_Send(c, rows * cols, MPI_DOUBLE, 0, 2, MPI_COMM_WORLD);
    }
    MPI_Bcast(&wrong, 1, MPI_INT, 0, MPI_COMM_WORLD);
    free(product);
    free(c);
    MPI_Comm_free(&along_row);
    MPI_Comm_free(&along_col);
    MPI_Finalize();
    return wrong != 0;
}
