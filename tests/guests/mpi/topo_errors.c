/* Errors of topologies; any number of ranks. */
#include "comm_shared.h"

int main(int argc, char **argv) {
    MPI_Comm grid, graph, dist, made;
    int rank, size, a, b, c, d[4];
    MPI_Init(&argc, &argv);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    int dims[2] = {size, 1}, none[2] = {0, 0}, rings[2] = {0, 1};

    FAILS(MPI_ERR_DIMS, MPI_Cart_create(MPI_COMM_WORLD, 2, (int[]){size, 2}, none, 0, &made));
    CHECK(made == MPI_COMM_NULL);
    FAILS(MPI_ERR_DIMS, MPI_Cart_create(MPI_COMM_WORLD, 2, none, none, 0, &made));
    FAILS(MPI_ERR_DIMS, MPI_Cart_create(MPI_COMM_WORLD, 1, (int[]){-1}, none, 0, &made));
    FAILS(MPI_ERR_DIMS, MPI_Cart_create(MPI_COMM_WORLD, -1, dims, none, 0, &made));
    FAILS(MPI_ERR_DIMS, MPI_Cart_create(MPI_COMM_WORLD, 1 << 30, dims, none, 0, &made));
    FAILS(MPI_ERR_ARG, MPI_Cart_create(MPI_COMM_WORLD, 2, NULL, none, 0, &made));
    FAILS(MPI_ERR_ARG, MPI_Cart_create(MPI_COMM_WORLD, 2, dims, none, 0, NULL));
    FAILS(MPI_ERR_COMM, MPI_Cart_create(MPI_COMM_NULL, 2, dims, none, 0, &made));
    int huge[2] = {1 << 16, 1 << 16};
    FAILS(MPI_ERR_DIMS, MPI_Cart_create(MPI_COMM_WORLD, 2, huge, none, 0, &made));
    CHECK(MPI_Cart_create(MPI_COMM_WORLD, 2, dims, rings, 0, &grid) == MPI_SUCCESS);
    FAILS(MPI_ERR_ARG, MPI_Cart_rank(grid, (int[]){size, 0}, &a));
    FAILS(MPI_ERR_ARG, MPI_Cart_rank(grid, (int[]){-1, 0}, &a));
    FAILS(MPI_ERR_RANK, MPI_Cart_coords(grid, size, 2, d));
    FAILS(MPI_ERR_RANK, MPI_Cart_coords(grid, -1, 2, d));
    FAILS(MPI_ERR_ARG, MPI_Cart_coords(grid, 0, 1, d));
    FAILS(MPI_ERR_ARG, MPI_Cart_get(grid, 1, d, d, d));
    FAILS(MPI_ERR_DIMS, MPI_Cart_shift(grid, 2, 1, &a, &b));
    FAILS(MPI_ERR_DIMS, MPI_Cart_shift(grid, -1, 1, &a, &b));
    FAILS(MPI_ERR_TOPOLOGY, MPI_Graphdims_get(grid, &a, &b));
    FAILS(MPI_ERR_TOPOLOGY, MPI_Dist_graph_neighbors_count(grid, &a, &b, &c));
    FAILS(MPI_ERR_TOPOLOGY, MPI_Cartdim_get(MPI_COMM_WORLD, &a));
    FAILS(MPI_ERR_TOPOLOGY, MPI_Cart_sub(MPI_COMM_WORLD, dims, &made));
    FAILS(MPI_ERR_COMM, MPI_Topo_test(MPI_COMM_NULL, &a));

    FAILS(MPI_ERR_DIMS, MPI_Dims_create(7, 2, (int[]){2, 0}));
    FAILS(MPI_ERR_DIMS, MPI_Dims_create(7, 2, (int[]){-1, 0}));
    FAILS(MPI_ERR_DIMS, MPI_Dims_create(0, 2, (int[]){0, 0}));
    FAILS(MPI_ERR_DIMS, MPI_Dims_create(6, 1, (int[]){3}));
    FAILS(MPI_ERR_DIMS, MPI_Dims_create(6, -1, d));

    FAILS(MPI_ERR_ARG, MPI_Graph_create(MPI_COMM_WORLD, size + 1, d, d, 0, &made));
    FAILS(MPI_ERR_ARG, MPI_Graph_create(MPI_COMM_WORLD, -1, d, d, 0, &made));
    FAILS(MPI_ERR_ARG, MPI_Graph_create(MPI_COMM_WORLD, 1, (int[]){-1}, d, 0, &made));
    FAILS(MPI_ERR_ARG, MPI_Graph_create(MPI_COMM_WORLD, 1, (int[]){1}, (int[]){1}, 0, &made));
    FAILS(MPI_ERR_ARG, MPI_Graph_create(MPI_COMM_WORLD, 1, (int[]){0x7fffffff}, d, 0, &made));
    CHECK(MPI_Graph_create(MPI_COMM_WORLD, 0, NULL, NULL, 0, &graph) == MPI_SUCCESS);
    CHECK(graph == MPI_COMM_NULL);
    CHECK(MPI_Graph_create(MPI_COMM_SELF, 1, (int[]){0}, NULL, 0, &graph) == MPI_SUCCESS);
    FAILS(MPI_ERR_RANK, MPI_Graph_neighbors_count(graph, 1, &a));
    FAILS(MPI_ERR_RANK, MPI_Graph_neighbors(graph, -1, 0, d));
    FAILS(MPI_ERR_TOPOLOGY, MPI_Cart_get(graph, 0, d, d, d));

    int far[1] = {size}, one[1] = {1}, minus[1] = {-1}, zero[1] = {0};
    FAILS(MPI_ERR_RANK, MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, 1, far, one, 0, NULL,
                                                       MPI_WEIGHTS_EMPTY, MPI_INFO_NULL, 0, &made));
    FAILS(MPI_ERR_ARG, MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, 1, zero, minus, 0, NULL,
                                                      MPI_WEIGHTS_EMPTY, MPI_INFO_NULL, 0, &made));
    FAILS(MPI_ERR_ARG, MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, -1, zero, one, 0, NULL,
                                                      MPI_WEIGHTS_EMPTY, MPI_INFO_NULL, 0, &made));
    FAILS(MPI_ERR_ARG, MPI_Dist_graph_create(MPI_COMM_WORLD, 1, zero, minus, zero, MPI_UNWEIGHTED,
                                             MPI_INFO_NULL, 0, &made));
    FAILS(MPI_ERR_RANK, MPI_Dist_graph_create(MPI_COMM_WORLD, 1, zero, one, far, MPI_UNWEIGHTED,
                                              MPI_INFO_NULL, 0, &made));
    FAILS(MPI_ERR_ARG, MPI_Dist_graph_create(MPI_COMM_WORLD, 1, zero, one, zero, MPI_WEIGHTS_EMPTY,
                                             MPI_INFO_NULL, 0, &made));
    CHECK(MPI_Dist_graph_create(MPI_COMM_WORLD, 0, NULL, NULL, NULL, MPI_UNWEIGHTED, MPI_INFO_NULL,
                                0, &dist) == MPI_SUCCESS);
    FAILS(MPI_ERR_ARG, MPI_Dist_graph_neighbors(dist, -1, d, d, 0, d, d));
    /* nothing of this disturbed the communicator */
    around(dist, 1);
    MPI_Comm_free(&dist);
    MPI_Comm_free(&graph);
    MPI_Comm_free(&grid);
    MPI_Finalize();
    return 0;
}
