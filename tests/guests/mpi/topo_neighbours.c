/* Collectives among neighbours in every form: grids of all kinds of edges, dimensions of one and
   two ranks that are rings, which have a neighbour twice; graphs with loops, with edges that there
   are several of, and with none. */
#include "check.h"

#define MOST 12

static int rank, size, form;
static MPI_Comm comm;
static MPI_Request request;

static void finish(int persistent) {
    for (int round = 0; round <= persistent; round++) {
        if (persistent) {
            MPI_Start(&request);
        }
        CHECK(MPI_Wait(&request, MPI_STATUS_IGNORE) == MPI_SUCCESS);
    }
    if (persistent) {
        MPI_Request_free(&request);
    }
}

#define RUN(NAME, ...)                                                                             \
    do {                                                                                           \
        switch (form) {                                                                            \
        case 0:                                                                                    \
            MPI_Neighbor_##NAME(__VA_ARGS__, comm);                                                \
            break;                                                                                 \
        case 1:                                                                                    \
            MPI_Ineighbor_##NAME(__VA_ARGS__, comm, &request);                                     \
            finish(0);                                                                             \
            break;                                                                                 \
        case 2:                                                                                    \
            MPI_Neighbor_##NAME##_init(__VA_ARGS__, comm, MPI_INFO_NULL, &request);                \
            finish(1);                                                                             \
            break;                                                                                 \
        case 3:                                                                                    \
            MPI_Neighbor_##NAME##_c(__VA_ARGS__, comm);                                            \
            break;                                                                                 \
        case 4:                                                                                    \
            MPI_Ineighbor_##NAME##_c(__VA_ARGS__, comm, &request);                                 \
            finish(0);                                                                             \
            break;                                                                                 \
        case 5:                                                                                    \
            MPI_Neighbor_##NAME##_init_c(__VA_ARGS__, comm, MPI_INFO_NULL, &request);              \
            finish(1);                                                                             \
            break;                                                                                 \
        }                                                                                          \
    } while (0)

/* Sees that block `k` comes from `sources[k]`, where it was that one's block `theirs[k]`. */
static void exchange(int into, const int *sources, const int *theirs, int from) {
    int out[MOST * 3], in[MOST * 3 + 1], counts[MOST], at[MOST];
    MPI_Count counts_c[MOST];
    MPI_Aint at_c[MOST], bytes[MOST];
    MPI_Datatype types[MOST];
    for (int k = 0; k < MOST; k++) {
        counts[k] = 2;
        counts_c[k] = 2;
        at[k] = 3 * k;
        at_c[k] = 3 * k;
        bytes[k] = 12 * k;
        types[k] = MPI_INT;
    }
    void *c = form < 3 ? (void *)counts : (void *)counts_c;
    void *p = form < 3 ? (void *)at : (void *)at_c;
    for (int call = 0; call < 5; call++) {
        int one = call < 2, apart = call == 0 || call == 2 ? 2 : 3;
        memset(in, -1, sizeof in);
        for (int k = 0; k < from; k++) {
            out[apart * k] = rank * 100 + (one ? 0 : k);
            out[apart * k + 1] = -rank * 100 - (one ? 0 : k) - 7;
        }
        if (call == 0) {
            RUN(allgather, out, 2, MPI_INT, in, 2, MPI_INT);
        } else if (call == 1) {
            RUN(allgatherv, out, 2, MPI_INT, in, c, p, MPI_INT);
        } else if (call == 2) {
            RUN(alltoall, out, 2, MPI_INT, in, 2, MPI_INT);
        } else if (call == 3) {
            RUN(alltoallv, out, c, p, MPI_INT, in, c, p, MPI_INT);
        } else {
            RUN(alltoallw, out, c, bytes, types, in, c, bytes, types);
        }
        for (int k = 0; k < into; k++) {
            int *got = in + apart * k, due = sources[k] * 100 + (one ? 0 : theirs[k]);
            int none = sources[k] == MPI_PROC_NULL;
            CHECK(got[0] == (none ? -1 : due));
            CHECK(got[1] == (none ? -1 : -due - 7));
            CHECK(apart == 2 || got[2] == -1);
        }
        CHECK(in[apart * into] == -1);
    }
}

static void grids(void) {
    for (int count = 0; count <= 3; count++) {
        for (int kind = 0; kind < 1 << count; kind++) {
            int dims[3] = {0}, periods[3], sources[6], theirs[6];
            for (int i = 0; i < count; i++) {
                periods[i] = kind >> i & 1;
            }
            if (count > 0) {
                MPI_Dims_create(size, count, dims);
            }
            MPI_Cart_create(MPI_COMM_WORLD, count, dims, periods, 0, &comm);
            if (comm == MPI_COMM_NULL) {
                continue;
            }
            for (int i = 0; i < count; i++) {
                MPI_Cart_shift(comm, i, 1, &sources[2 * i], &sources[2 * i + 1]);
                /* What comes from below is what that one has for above. */
                theirs[2 * i] = 2 * i + 1;
                theirs[2 * i + 1] = 2 * i;
            }
            exchange(2 * count, sources, theirs, 2 * count);
            MPI_Comm_free(&comm);
        }
    }
}

/* Three edges to the next rank, then a loop; and the weights of them. */
static void graphs(void) {
    int next = (rank + 1) % size, last = (rank + size - 1) % size, theirs[] = {0, 1, 2, 3};
    int sources[] = {last, last, last, rank}, to[] = {next, next, next, rank}, degree = 4, in, out;
    int weights[] = {1, 2, 3, 4}, flag, got_sources[4], got[4], got_to[4], got_weights[4];
    for (int weighted = 0; weighted < 2; weighted++) {
        int *w = weighted ? weights : MPI_UNWEIGHTED;
        MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, 4, sources, w, 4, to, w, MPI_INFO_NULL, 0,
                                       &comm);
        exchange(4, sources, theirs, 4);
        MPI_Comm_free(&comm);
        MPI_Dist_graph_create(MPI_COMM_WORLD, 1, &rank, &degree, to, w, MPI_INFO_NULL, 0, &comm);
        MPI_Dist_graph_neighbors_count(comm, &in, &out, &flag);
        CHECK(in == 4 && out == 4 && !flag == !weighted);
        MPI_Dist_graph_neighbors(comm, 4, got_sources, got, 4, got_to, got_weights);
        int loops = 0, sum = 0;
        for (int i = 0; i < 4; i++) {
            CHECK(got_sources[i] == last || got_sources[i] == rank);
            CHECK(got_to[i] == next || got_to[i] == rank);
            loops += got_sources[i] == rank;
            sum += weighted ? got[i] + got_weights[i] : 0;
            CHECK(!weighted || size == 1 || (got[i] == 4) == (got_sources[i] == rank));
        }
        CHECK(loops == (size == 1 ? 4 : 1) && sum == (weighted ? 20 : 0));
        MPI_Comm_free(&comm);
    }
    int *empty = MPI_WEIGHTS_EMPTY;
    MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, 0, NULL, empty, 0, NULL, empty, MPI_INFO_NULL, 0,
                                   &comm);
    MPI_Dist_graph_neighbors_count(comm, &in, &out, &flag);
    CHECK(in == 0 && out == 0 && flag);
    exchange(0, NULL, NULL, 0);
    MPI_Comm_free(&comm);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (form = 0; form < 6; form++) {
        grids();
        graphs();
    }
    MPI_Finalize();
    return 0;
}
