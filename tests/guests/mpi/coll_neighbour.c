/* Collectives among neighbours of grids and graphs. */
#include "check.h"

static int rank, size;

/* A ring; of one or two ranks both neighbours are the same. */
static void ring(int periodic) {
    MPI_Comm comm;
    int left, right, out[2] = {rank * 10, rank * 10 + 1}, in[2] = {-1, -1};
    MPI_Cart_create(MPI_COMM_WORLD, 1, &size, &periodic, 0, &comm);
    MPI_Cart_shift(comm, 0, 1, &left, &right);
    MPI_Neighbor_alltoall(out, 1, MPI_INT, in, 1, MPI_INT, comm);
    /* What the left one sent to its right, and the other way round. */
    CHECK(in[0] == (left == MPI_PROC_NULL ? -1 : left * 10 + 1));
    CHECK(in[1] == (right == MPI_PROC_NULL ? -1 : right * 10));
    in[0] = in[1] = -1;
    MPI_Request request;
    MPI_Ineighbor_allgather(&rank, 1, MPI_INT, in, 1, MPI_INT, comm, &request);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    CHECK(in[0] == (left == MPI_PROC_NULL ? -1 : left));
    CHECK(in[1] == (right == MPI_PROC_NULL ? -1 : right));
    int counts[2] = {1, 1}, places[2] = {1, 0};
    MPI_Aint bytes[2] = {4, 0};
    MPI_Datatype types[2] = {MPI_INT, MPI_INT};
    in[0] = in[1] = -1;
    MPI_Neighbor_alltoallw(out, counts, bytes, types, in, counts, bytes, types, comm);
    CHECK(in[1] == (left == MPI_PROC_NULL ? -1 : left * 10));
    CHECK(in[0] == (right == MPI_PROC_NULL ? -1 : right * 10 + 1));
    in[0] = in[1] = -1;
    MPI_Neighbor_allgatherv(&rank, 1, MPI_INT, in, counts, places, MPI_INT, comm);
    CHECK(in[1] == (left == MPI_PROC_NULL ? -1 : left));
    in[0] = in[1] = -1;
    MPI_Neighbor_alltoallv_init(out, counts, places, MPI_INT, in, counts, places, MPI_INT, comm,
                                MPI_INFO_NULL, &request);
    for (int round = 0; round < 3; round++) {
        MPI_Start(&request);
        MPI_Wait(&request, MPI_STATUS_IGNORE);
        CHECK(in[1] == (left == MPI_PROC_NULL ? -1 : left * 10));
    }
    MPI_Request_free(&request);
    MPI_Comm_free(&comm);
}

/* Everybody sends to the next rank twice. */
static void graph(void) {
    int next = (rank + 1) % size, last = (rank + size - 1) % size;
    int from[2] = {last, last}, to[2] = {next, next}, out[2] = {rank, -rank}, in[2];
    MPI_Comm comm;
    MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, 2, from, MPI_UNWEIGHTED, 2, to, MPI_UNWEIGHTED,
                                   MPI_INFO_NULL, 0, &comm);
    MPI_Neighbor_alltoall(out, 1, MPI_INT, in, 1, MPI_INT, comm);
    CHECK(in[0] == last && in[1] == -last);
    MPI_Comm_free(&comm);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    ring(1);
    ring(0);
    graph();
    MPI_Finalize();
    return 0;
}
