/* Graphs. */
#include "comm_shared.h"

static int rank, size;

static int kind(MPI_Comm comm) {
    int status = -1;
    CHECK(MPI_Topo_test(comm, &status) == MPI_SUCCESS);
    return status;
}

/* A star: the first rank has all others, and a loop; the last is not in it. */
static void star(void) {
    MPI_Comm graph, copy;
    int nodes = size > 1 ? size - 1 : 1, index[64], edges[128], count = 0, n, e, newrank;
    edges[count++] = 0;
    for (int i = 1; i < nodes; i++) edges[count++] = i;
    index[0] = count;
    for (int i = 1; i < nodes; i++) {
        edges[count++] = 0;
        index[i] = count;
    }
    CHECK(MPI_Graph_map(MPI_COMM_WORLD, nodes, index, edges, &newrank) == MPI_SUCCESS);
    CHECK(newrank == (rank < nodes ? rank : MPI_UNDEFINED));
    CHECK(MPI_Graph_create(MPI_COMM_WORLD, nodes, index, edges, 0, &graph) == MPI_SUCCESS);
    CHECK((graph != MPI_COMM_NULL) == (rank < nodes));
    if (graph == MPI_COMM_NULL) return;
    CHECK(kind(graph) == MPI_GRAPH && comm_size(graph) == nodes);
    CHECK(MPI_Graphdims_get(graph, &n, &e) == MPI_SUCCESS && n == nodes && e == count);
    int index2[64], edges2[128];
    CHECK(MPI_Graph_get(graph, 64, 128, index2, edges2) == MPI_SUCCESS);
    CHECK(memcmp(index, index2, sizeof(int) * nodes) == 0);
    CHECK(memcmp(edges, edges2, sizeof(int) * count) == 0);
    CHECK(MPI_Graph_neighbors_count(graph, 0, &n) == MPI_SUCCESS && n == nodes);
    CHECK(MPI_Graph_neighbors(graph, 0, n, edges2) == MPI_SUCCESS);
    for (int i = 0; i < nodes; i++) CHECK(edges2[i] == i);
    for (int i = 1; i < nodes; i++) {
        CHECK(MPI_Graph_neighbors_count(graph, i, &n) == MPI_SUCCESS && n == 1);
        CHECK(MPI_Graph_neighbors(graph, i, 1, edges2) == MPI_SUCCESS && edges2[0] == 0);
    }
    CHECK(MPI_Comm_dup(graph, &copy) == MPI_SUCCESS && kind(copy) == MPI_GRAPH);
    CHECK(MPI_Graphdims_get(copy, &n, &e) == MPI_SUCCESS && n == nodes && e == count);
    around(copy, 1);
    MPI_Comm_free(&copy);
    MPI_Comm_free(&graph);
}

/* Each rank gives its own edges: from the one before, with weights. */
static void adjacent(void) {
    MPI_Comm graph, copy;
    int before = (rank + size - 1) % size, after = (rank + 1) % size;
    int sources[2] = {before, rank}, sourceweights[2] = {10 + rank, 7};
    int destinations[2] = {rank, after}, destweights[2] = {7, 10 + after};
    int in, out, weighted, s[2], sw[2] = {-1, -1}, d[2], dw[2] = {-1, -1};
    CHECK(MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, 2, sources, sourceweights, 2, destinations,
                                         destweights, MPI_INFO_NULL, 0, &graph) == MPI_SUCCESS);
    CHECK(kind(graph) == MPI_DIST_GRAPH);
    CHECK(MPI_Comm_dup(graph, &copy) == MPI_SUCCESS);
    MPI_Comm_free(&graph);
    CHECK(MPI_Dist_graph_neighbors_count(copy, &in, &out, &weighted) == MPI_SUCCESS);
    CHECK(in == 2 && out == 2 && weighted == 1);
    CHECK(MPI_Dist_graph_neighbors(copy, 2, s, sw, 2, d, dw) == MPI_SUCCESS);
    CHECK(memcmp(s, sources, sizeof s) == 0 && memcmp(sw, sourceweights, sizeof sw) == 0);
    CHECK(memcmp(d, destinations, sizeof d) == 0 && memcmp(dw, destweights, sizeof dw) == 0);
    /* the first ones, where there is room for no more */
    s[1] = d[0] = -5;
    CHECK(MPI_Dist_graph_neighbors(copy, 1, s, MPI_UNWEIGHTED, 0, d, MPI_UNWEIGHTED) == 0);
    CHECK(s[0] == before && s[1] == -5 && d[0] == -5);
    around(copy, 3);
    MPI_Comm_free(&copy);

    /* without weights; without edges */
    CHECK(MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, 1, sources, MPI_UNWEIGHTED, 0, NULL,
                                         MPI_UNWEIGHTED, MPI_INFO_NULL, 1, &graph) == MPI_SUCCESS);
    CHECK(MPI_Dist_graph_neighbors_count(graph, &in, &out, &weighted) == MPI_SUCCESS);
    CHECK(in == 1 && out == 0 && weighted == 0);
    MPI_Comm_free(&graph);
    CHECK(MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, 0, NULL, MPI_WEIGHTS_EMPTY, 0, NULL,
                                         MPI_WEIGHTS_EMPTY, MPI_INFO_NULL, 0, &graph) == 0);
    CHECK(MPI_Dist_graph_neighbors_count(graph, &in, &out, &weighted) == MPI_SUCCESS);
    CHECK(in == 0 && out == 0 && weighted == 1);
    MPI_Comm_free(&graph);
}

static int times(const int *all, int count, int what) {
    int found = 0;
    for (int i = 0; i < count; i++) found += all[i] == what;
    return found;
}

/* The last rank tells of all edges: from each rank to the next, twice, and to the first. */
static void told_by_one(void) {
    MPI_Comm graph;
    int sources[64], degrees[64], destinations[192], weights[192], in, out, weighted;
    int n = rank == size - 1 ? size : 0;
    for (int i = 0; i < n; i++) {
        sources[i] = i;
        degrees[i] = 3;
        destinations[3 * i] = destinations[3 * i + 1] = (i + 1) % size;
        destinations[3 * i + 2] = 0;
        weights[3 * i] = i;
        weights[3 * i + 1] = 100 + i;
        weights[3 * i + 2] = 1000 + i;
    }
    CHECK(MPI_Dist_graph_create(MPI_COMM_WORLD, n, sources, degrees, destinations,
                                n ? weights : MPI_WEIGHTS_EMPTY, MPI_INFO_NULL, 0,
                                &graph) == MPI_SUCCESS);
    CHECK(MPI_Dist_graph_neighbors_count(graph, &in, &out, &weighted) == MPI_SUCCESS);
    CHECK(weighted == 1 && out == 3 && in == 2 + (rank == 0 ? size : 0));
    int s[80], sw[80], d[3], dw[3];
    CHECK(MPI_Dist_graph_neighbors(graph, 80, s, sw, 3, d, dw) == MPI_SUCCESS);
    int before = (rank + size - 1) % size, after = (rank + 1) % size;
    CHECK(times(sw, in, before) == 1 && times(sw, in, 100 + before) == 1);
    for (int i = 0; i < in; i++) CHECK(s[i] == sw[i] % 100);
    CHECK(times(d, 3, after) == (after == 0 ? 3 : 2) && times(d, 3, 0) >= 1);
    CHECK(times(dw, 3, rank) == 1 && times(dw, 3, 100 + rank) == 1 && times(dw, 3, 1000 + rank) == 1);
    if (rank == 0)
        for (int i = 0; i < size; i++) CHECK(times(sw, in, 1000 + i) == 1);
    around(graph, 2);
    MPI_Comm_free(&graph);
}

/* Each tells of the edge from its neighbour to itself: who told it does not matter. */
static void told_by_all(void) {
    MPI_Comm graph;
    int before = (rank + size - 1) % size, after = (rank + 1) % size, one = 1, in, out, weighted;
    CHECK(MPI_Dist_graph_create(MPI_COMM_WORLD, 1, &before, &one, &rank, MPI_UNWEIGHTED,
                                MPI_INFO_NULL, 1, &graph) == MPI_SUCCESS);
    MPI_Dist_graph_neighbors_count(graph, &in, &out, &weighted);
    CHECK(in == 1 && out == 1 && weighted == 0);
    int s, d, sw = -1, dw = -1;
    CHECK(MPI_Dist_graph_neighbors(graph, 1, &s, &sw, 1, &d, &dw) == MPI_SUCCESS);
    CHECK(s == before && d == after && sw == -1 && dw == -1);
    MPI_Comm_free(&graph);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    star();
    adjacent();
    told_by_one();
    told_by_all();
    MPI_Finalize();
    return 0;
}
