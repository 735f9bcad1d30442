// Heat in a square plate by Jacobi's method, as an MPI job: each rank has a block of the plate and
// exchanges its edges with the four ranks around it.
//
// usage: jacobi [N [SWEEPS]]      an N x N plate (256), so many sweeps (100)
//
// Rank 0 checks the result against a run of its own without MPI: every element must be the same, to
// the last bit. The exit code is 1 if it is not.
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A rectangle of the plate with a border of one element, row by row.
typedef struct {
    int rows, cols;
    double *now, *next;
} block_t;

static double *at(const block_t *block, double *grid, int row, int col)
{
    return grid + (size_t)row * (size_t)(block->cols + 2) + col;
}

static block_t make_block(int rows, int cols)
{
    const size_t count = (size_t)(rows + 2) * (size_t)(cols + 2);
    block_t block = {rows, cols, calloc(count, sizeof(double)), calloc(count, sizeof(double))};
    if (!block.now || !block.next) {
        fprintf(stderr, "jacobi: no memory for %d x %d elements\n", rows, cols);
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    return block;
}

static void free_block(block_t *block)
{
    free(block->now);
    free(block->next);
}

// The upper edge of the plate is hot.
static void heat_edge(block_t *block)
{
    for (int col = 0; col < block->cols + 2; col++)
        *at(block, block->now, 0, col) = *at(block, block->next, 0, col) = 100.0;
}

// One sweep; gives the largest change.
static double sweep(block_t *block)
{
    double most = 0;
    const int width = block->cols + 2;
    for (int row = 1; row <= block->rows; row++) {
        const double *from = at(block, block->now, row, 0);
        double *to = at(block, block->next, row, 0);
        for (int col = 1; col <= block->cols; col++) {
            to[col] = 0.25 * (from[col - width] + from[col + width] + from[col - 1] + from[col + 1]);
            const double change = fabs(to[col] - from[col]);
            most = change > most ? change : most;
        }
    }
    double *swapped = block->now;
    block->now = block->next;
    block->next = swapped;
    return most;
}

// The first of n elements that part `part` of `parts` has.
static int first_of(int n, int part, int parts)
{
    return (int)((long long)n * part / parts);
}

static void exchange(block_t *block, MPI_Comm grid, MPI_Datatype column)
{
    int up, down, left, right;
    const int rows = block->rows, cols = block->cols;
    MPI_Cart_shift(grid, 0, 1, &up, &down);
    MPI_Cart_shift(grid, 1, 1, &left, &right);
    MPI_Sendrecv(at(block, block->now, 1, 1), cols, MPI_DOUBLE, up, 0,
                 at(block, block->now, rows + 1, 1), cols, MPI_DOUBLE, down, 0, grid,
                 MPI_STATUS_IGNORE);
    MPI_Sendrecv(at(block, block->now, rows, 1), cols, MPI_DOUBLE, down, 1,
                 at(block, block->now, 0, 1), cols, MPI_DOUBLE, up, 1, grid, MPI_STATUS_IGNORE);
    MPI_Sendrecv(at(block, block->now, 1, 1), 1, column, left, 2,
                 at(block, block->now, 1, cols + 1), 1, column, right, 2, grid, MPI_STATUS_IGNORE);
    MPI_Sendrecv(at(block, block->now, 1, cols), 1, column, right, 3,
                 at(block, block->now, 1, 0), 1, column, left, 3, grid, MPI_STATUS_IGNORE);
}

// Rank 0 takes all blocks together and compares them with what one rank alone finds.
static int check(const block_t *block, int n, int sweeps, MPI_Comm grid, const int *dims)
{
    int rank, size, wrong = 0;
    MPI_Comm_rank(grid, &rank);
    MPI_Comm_size(grid, &size);
    const size_t count = (size_t)block->rows * (size_t)block->cols;
    double *mine = malloc((count ? count : 1) * sizeof(double));
    for (int row = 0; row < block->rows; row++)
        memcpy(mine + (size_t)row * (size_t)block->cols, at(block, block->now, row + 1, 1),
               (size_t)block->cols * sizeof(double));
    if (rank != 0) {
        MPI_Send(mine, (int)count, MPI_DOUBLE, 0, 9, grid);
        free(mine);
        MPI_Bcast(&wrong, 1, MPI_INT, 0, grid);
        return wrong;
    }
    block_t alone = make_block(n, n);
    heat_edge(&alone);
    for (int turn = 0; turn < sweeps; turn++)
        sweep(&alone);
    for (int from = 0; from < size; from++) {
        int coords[2];
        MPI_Cart_coords(grid, from, 2, coords);
        const int top = first_of(n, coords[0], dims[0]);
        const int left = first_of(n, coords[1], dims[1]);
        const int rows = first_of(n, coords[0] + 1, dims[0]) - top;
        const int cols = first_of(n, coords[1] + 1, dims[1]) - left;
        double *theirs = from == 0 ? mine : malloc(((size_t)rows * (size_t)cols + 1) * sizeof(double));
        if (from != 0)
            MPI_Recv(theirs, rows * cols, MPI_DOUBLE, from, 9, grid, MPI_STATUS_IGNORE);
        for (int row = 0; row < rows; row++)
            wrong += memcmp(theirs + (size_t)row * (size_t)cols,
                            at(&alone, alone.now, top + row + 1, left + 1),
                            (size_t)cols * sizeof(double)) != 0;
        free(theirs);
    }
    free_block(&alone);
    MPI_Bcast(&wrong, 1, MPI_INT, 0, grid);
    return wrong;
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    const int n = argc > 1 ? atoi(argv[1]) : 256;
    const int sweeps = argc > 2 ? atoi(argv[2]) : 100;
    int rank, size, dims[2] = {0, 0}, around[2] = {0, 0}, coords[2];
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (n < 1 || sweeps < 0 || n > 8192) {
        fprintf(stderr, "usage: jacobi [N [SWEEPS]], with N of 1 to 8192\n");
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    MPI_Comm grid;
    MPI_Dims_create(size, 2, dims);
    MPI_Cart_create(MPI_COMM_WORLD, 2, dims, around, 0, &grid);
    MPI_Comm_rank(grid, &rank);
    MPI_Cart_coords(grid, rank, 2, coords);
    block_t block =
        make_block(first_of(n, coords[0] + 1, dims[0]) - first_of(n, coords[0], dims[0]),
                   first_of(n, coords[1] + 1, dims[1]) - first_of(n, coords[1], dims[1]));
    if (coords[0] == 0)
        heat_edge(&block);
    MPI_Datatype column;
    MPI_Type_vector(block.rows, 1, block.cols + 2, MPI_DOUBLE, &column);
    MPI_Type_commit(&column);

    MPI_Barrier(grid);
    double most = 0, all = 0, talked = 0;
    const double begun = MPI_Wtime();
    for (int turn = 0; turn < sweeps; turn++) {
        const double before = MPI_Wtime();
        exchange(&block, grid, column);
        talked += MPI_Wtime() - before;
        most = sweep(&block);
        if (turn % 10 == 9) {
            const double asked = MPI_Wtime();
            MPI_Allreduce(&most, &all, 1, MPI_DOUBLE, MPI_MAX, grid);
            talked += MPI_Wtime() - asked;
        }
    }
    MPI_Barrier(grid);
    const double seconds = MPI_Wtime() - begun;
    MPI_Allreduce(&most, &all, 1, MPI_DOUBLE, MPI_MAX, grid);

    const int wrong = check(&block, n, sweeps, grid, dims);
    if (rank == 0) {
        printf("jacobi: %d x %d, %d sweeps on %d x %d ranks: %.4f s, %.4f s of them in MPI; the last "
               "sweep changed %.3g at most; %s\n",
               n, n, sweeps, dims[0], dims[1], seconds, talked, all,
               wrong ? "WRONG" : "the same as on one rank");
    }
    MPI_Type_free(&column);
    MPI_Comm_free(&grid);
    free_block(&block);
    MPI_Finalize();
    return wrong != 0;
}
