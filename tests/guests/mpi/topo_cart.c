/* Grids. */
#include "comm_shared.h"

static int rank, size;

static int kind(MPI_Comm comm) {
    int status = -1;
    CHECK(MPI_Topo_test(comm, &status) == MPI_SUCCESS);
    return status;
}

/* A number goes to each neighbour along each dimension. */
static void shifts(MPI_Comm grid, int ndims, const int *dims, const int *periods) {
    int me = comm_rank(grid), coords[4], there[4];
    CHECK(MPI_Cart_coords(grid, me, 4, coords) == MPI_SUCCESS);
    for (int d = 0; d < ndims; d++) {
        for (int disp = -2; disp <= 2; disp++) {
            int from, to, got = -1;
            CHECK(MPI_Cart_shift(grid, d, disp, &from, &to) == MPI_SUCCESS);
            memcpy(there, coords, sizeof there);
            there[d] += disp;
            if (periods[d] || (there[d] >= 0 && there[d] < dims[d])) {
                int expected;
                CHECK(MPI_Cart_rank(grid, there, &expected) == MPI_SUCCESS && expected == to);
            } else {
                CHECK(to == MPI_PROC_NULL);
            }
            MPI_Sendrecv(&me, 1, MPI_INT, to, d, &got, 1, MPI_INT, from, d, grid, MPI_STATUS_IGNORE);
            CHECK(got == (from == MPI_PROC_NULL ? -1 : from));
        }
    }
}

static void grids(void) {
    MPI_Comm grid, copy, line;
    int dims[2] = {0, 0}, periods[2] = {0, 1}, ndims = -1, d[2], p[2], c[2], back;
    CHECK(MPI_Dims_create(size, 2, dims) == MPI_SUCCESS && dims[0] * dims[1] == size);
    CHECK(MPI_Cart_create(MPI_COMM_WORLD, 2, dims, periods, 0, &grid) == MPI_SUCCESS);
    CHECK(kind(grid) == MPI_CART && kind(MPI_COMM_WORLD) == MPI_UNDEFINED);
    CHECK(comm_compare(grid, MPI_COMM_WORLD) == MPI_CONGRUENT);
    CHECK(MPI_Cartdim_get(grid, &ndims) == MPI_SUCCESS && ndims == 2);
    CHECK(MPI_Cart_get(grid, 2, d, p, c) == MPI_SUCCESS);
    CHECK(d[0] == dims[0] && d[1] == dims[1] && p[0] == 0 && p[1] == 1);
    CHECK(c[0] == rank / dims[1] && c[1] == rank % dims[1]);
    CHECK(MPI_Cart_rank(grid, c, &back) == MPI_SUCCESS && back == rank);
    /* a ring goes around */
    c[1] -= dims[1];
    CHECK(MPI_Cart_rank(grid, c, &back) == MPI_SUCCESS && back == rank);
    for (int i = 0; i < size; i++) {
        CHECK(MPI_Cart_coords(grid, i, 2, c) == MPI_SUCCESS);
        CHECK(c[0] == i / dims[1] && c[1] == i % dims[1]);
    }
    shifts(grid, 2, dims, periods);
    around(grid, 1);

    /* a copy is laid out the same; a part is not laid out */
    CHECK(MPI_Comm_dup(grid, &copy) == MPI_SUCCESS && kind(copy) == MPI_CART);
    MPI_Cart_get(copy, 2, d, p, c);
    CHECK(d[0] == dims[0] && d[1] == dims[1] && p[0] == 0 && p[1] == 1);
    shifts(copy, 2, dims, periods);
    MPI_Comm_free(&copy);
    MPI_Comm_split(grid, 0, rank, &copy);
    CHECK(kind(copy) == MPI_UNDEFINED);
    MPI_Comm_free(&copy);

    /* rows */
    CHECK(MPI_Cart_sub(grid, (int[]){0, 1}, &line) == MPI_SUCCESS);
    CHECK(comm_size(line) == dims[1] && comm_rank(line) == rank % dims[1]);
    CHECK(MPI_Cartdim_get(line, &ndims) == MPI_SUCCESS && ndims == 1);
    MPI_Cart_get(line, 1, d, p, c);
    CHECK(d[0] == dims[1] && p[0] == 1 && c[0] == rank % dims[1]);
    around(line, rank / dims[1]);
    MPI_Comm_free(&line);
    /* nothing remains: each rank alone, in a grid without dimensions */
    CHECK(MPI_Cart_sub(grid, (int[]){0, 0}, &line) == MPI_SUCCESS);
    CHECK(comm_size(line) == 1 && kind(line) == MPI_CART);
    CHECK(MPI_Cartdim_get(line, &ndims) == MPI_SUCCESS && ndims == 0);
    CHECK(MPI_Cart_sub(line, NULL, &copy) == MPI_SUCCESS && comm_size(copy) == 1);
    MPI_Comm_free(&copy);
    MPI_Comm_free(&line);
    MPI_Comm_free(&grid);
}

static void odd_ones(void) {
    MPI_Comm grid;
    int ndims = -1, at = -1, back = -1, newrank;
    /* without dimensions: one rank */
    CHECK(MPI_Cart_create(MPI_COMM_WORLD, 0, NULL, NULL, 1, &grid) == MPI_SUCCESS);
    CHECK((grid == MPI_COMM_NULL) == (rank != 0));
    if (grid != MPI_COMM_NULL) {
        CHECK(comm_size(grid) == 1 && kind(grid) == MPI_CART);
        CHECK(MPI_Cartdim_get(grid, &ndims) == MPI_SUCCESS && ndims == 0);
        CHECK(MPI_Cart_get(grid, 0, NULL, NULL, NULL) == MPI_SUCCESS);
        CHECK(MPI_Cart_rank(grid, NULL, &back) == MPI_SUCCESS && back == 0);
        CHECK(MPI_Cart_coords(grid, 0, 0, &at) == MPI_SUCCESS && at == -1);
        MPI_Comm_free(&grid);
    }
    /* a smaller grid leaves ranks out */
    int dims[3] = {1, (size + 1) / 2, 1}, periods[3] = {1, 0, 1};
    int inside = rank < (size + 1) / 2;
    CHECK(MPI_Cart_map(MPI_COMM_WORLD, 3, dims, periods, &newrank) == MPI_SUCCESS);
    CHECK(newrank == (inside ? rank : MPI_UNDEFINED));
    CHECK(MPI_Cart_create(MPI_COMM_WORLD, 3, dims, periods, 1, &grid) == MPI_SUCCESS);
    CHECK((grid != MPI_COMM_NULL) == inside);
    if (inside) {
        shifts(grid, 3, dims, periods);
        around(grid, 2);
        MPI_Comm_free(&grid);
    }
}

static void even(int nodes, int ndims, const int *given, const int *expected) {
    int dims[8];
    memcpy(dims, given, sizeof(int) * ndims);
    CHECK(MPI_Dims_create(nodes, ndims, dims) == MPI_SUCCESS);
    for (int i = 0; i < ndims; i++) CHECK(dims[i] == expected[i]);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    grids();
    odd_ones();
    even(6, 2, (int[]){0, 0}, (int[]){3, 2});
    even(7, 2, (int[]){0, 0}, (int[]){7, 1});
    even(6, 3, (int[]){0, 3, 0}, (int[]){2, 3, 1});
    even(60, 3, (int[]){0, 0, 0}, (int[]){5, 4, 3});
    even(12, 4, (int[]){0, 2, 0, 0}, (int[]){3, 2, 2, 1});
    even(1, 3, (int[]){0, 0, 0}, (int[]){1, 1, 1});
    even(6, 2, (int[]){2, 3}, (int[]){2, 3});
    MPI_Finalize();
    return 0;
}
