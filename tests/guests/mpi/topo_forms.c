/* Every neighbourhood collective in every form: at once, under way, started twice; with `int` and
   with `MPI_Count`. In graphs with edges that are there twice, loops and ranks without edges, in
   grids with rings of one and of two. */
#include "check.h"

enum { MOST = 64, LONG = 2000 };
enum { AT_ONCE, LATER, STARTED, FORMS };

static int me, size, form, sources, destinations, length;
static int source[MOST], destination[MOST];
/* Which of the blocks that a source sends is the one from there. */
static int block[MOST];
static int *out, *in;
static MPI_Comm comm;

static int value(int rank, int block, int at) {
    return rank * 100000 + block * 1000 + at;
}

static void clear(void) {
    for (int i = 0; i < sources * (LONG + 1); i++) in[i] = -1;
}

/* What came: `many(k)` numbers of the block `which` of source k, which begin at `at(k)`. */
#define CAME(at, many, which)                                                                      \
    for (int k = 0; k < sources; k++)                                                              \
        for (int i = 0; i < length; i++) {                                                         \
            int came = source[k] != MPI_PROC_NULL && i < (many);                                   \
            CHECK(in[(at) + i] == (came ? value(source[k], which, i) : -1));                       \
        }

#define RUN(name, later, ...)                                                                      \
    do {                                                                                           \
        MPI_Request request;                                                                       \
        clear();                                                                                   \
        if (form == AT_ONCE) {                                                                     \
            CHECK(MPI_##name(__VA_ARGS__, comm) == MPI_SUCCESS);                                   \
        } else if (form == LATER) {                                                                \
            CHECK(MPI_##later(__VA_ARGS__, comm, &request) == MPI_SUCCESS);                        \
            CHECK(MPI_Wait(&request, MPI_STATUS_IGNORE) == MPI_SUCCESS);                           \
        }                                                                                          \
    } while (0)

#define AGAIN(init, ...)                                                                           \
    do {                                                                                           \
        MPI_Request request;                                                                       \
        if (form != STARTED) break;                                                                \
        CHECK(MPI_##init(__VA_ARGS__, comm, MPI_INFO_NULL, &request) == MPI_SUCCESS);              \
        for (int start = 0; start < 2; start++) {                                                  \
            clear();                                                                               \
            CHECK(MPI_Start(&request) == MPI_SUCCESS);                                             \
            CHECK(MPI_Wait(&request, MPI_STATUS_IGNORE) == MPI_SUCCESS);                           \
        }                                                                                          \
        CHECK(MPI_Request_free(&request) == MPI_SUCCESS);                                          \
    } while (0)

#define BOTH(name, check, ...)                                                                     \
    RUN(Neighbor_##name, Ineighbor_##name, __VA_ARGS__);                                           \
    AGAIN(Neighbor_##name##_init, __VA_ARGS__);                                                    \
    check

#define WIDE(name, check, ...)                                                                     \
    RUN(Neighbor_##name##_c, Ineighbor_##name##_c, __VA_ARGS__);                                   \
    AGAIN(Neighbor_##name##_init_c, __VA_ARGS__);                                                  \
    check

/* All of them once. Blocks that differ in length come in the opposite order, with gaps. */
static void all(void) {
    static int counts[MOST], places[MOST], due[MOST], at[MOST];
    static MPI_Count wide_counts[MOST], wide_due[MOST];
    static MPI_Aint wide_places[MOST], wide_at[MOST], byte_places[MOST], byte_at[MOST];
    static MPI_Datatype types[MOST];
    for (int k = 0; k < MOST; k++) types[k] = MPI_INT;
    for (int k = 0; k < destinations; k++) {
        wide_counts[k] = counts[k] = (me * 3 + k) % (length + 1);
        wide_places[k] = places[k] = k * length;
        byte_places[k] = 4 * places[k];
    }
    for (int k = 0; k < sources; k++) {
        int theirs = source[k] == MPI_PROC_NULL ? 1 : source[k] * 3 + block[k];
        wide_due[k] = due[k] = theirs % (length + 1);
        wide_at[k] = at[k] = (sources - 1 - k) * (length + 1);
        byte_at[k] = 4 * at[k];
    }
    for (int i = 0; i < destinations * length; i++) out[i] = value(me, i / length, i % length);

    BOTH(alltoall, CAME(k * length, length, block[k]), out, length, MPI_INT, in, length, MPI_INT);
    WIDE(alltoall, CAME(k * length, length, block[k]), out, length, MPI_INT, in, length, MPI_INT);
    BOTH(alltoallv, CAME(at[k], due[k], block[k]), out, counts, places, MPI_INT, in, due, at,
         MPI_INT);
    WIDE(alltoallv, CAME(at[k], due[k], block[k]), out, wide_counts, wide_places, MPI_INT, in,
         wide_due, wide_at, MPI_INT);
    BOTH(alltoallw, CAME(at[k], due[k], block[k]), out, counts, byte_places, types, in, due,
         byte_at, types);
    WIDE(alltoallw, CAME(at[k], due[k], block[k]), out, wide_counts, byte_places, types, in,
         wide_due, byte_at, types);

    for (int i = 0; i < length; i++) out[i] = value(me, 0, i);
    for (int k = 0; k < sources; k++) {
        int theirs = source[k] == MPI_PROC_NULL ? 1 : source[k];
        wide_due[k] = due[k] = theirs % (length + 1);
    }
    BOTH(allgather, CAME(k * length, length, 0), out, length, MPI_INT, in, length, MPI_INT);
    WIDE(allgather, CAME(k * length, length, 0), out, length, MPI_INT, in, length, MPI_INT);
    int mine = me % (length + 1);
    BOTH(allgatherv, CAME(at[k], due[k], 0), out, mine, MPI_INT, in, due, at, MPI_INT);
    WIDE(allgatherv, CAME(at[k], due[k], 0), out, mine, MPI_INT, in, wide_due, wide_at, MPI_INT);
}

static void forms(void) {
    out = malloc(sizeof(int) * (destinations + 1) * LONG);
    in = malloc(sizeof(int) * (sources + 1) * (LONG + 1));
    CHECK(out && in);
    for (form = 0; form < FORMS; form++) {
        for (length = 3; length <= LONG; length += LONG - 3) all();
    }
    free(out);
    free(in);
    MPI_Comm_free(&comm);
}

/* How often there is an edge from one rank to another. */
static int edges(int from, int to) {
    return from == 1 || to == 2 ? 0 : (from * 5 + to * 3) % 3;
}

/* Edges between the same ranks match in their order on both sides. */
static void graph(void) {
    sources = destinations = 0;
    for (int rank = 0; rank < size; rank++) {
        int before = 0;
        for (int to = size - 1; to > me; to--) before += edges(rank, to);
        for (int edge = 0; edge < edges(rank, me); edge++) {
            source[sources] = rank;
            block[sources++] = before + edge;
        }
    }
    for (int rank = size - 1; rank >= 0; rank--) {
        for (int edge = 0; edge < edges(me, rank); edge++) destination[destinations++] = rank;
    }
    CHECK(MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, sources, source, MPI_UNWEIGHTED,
              destinations, destination, MPI_UNWEIGHTED, MPI_INFO_NULL, 0, &comm) == MPI_SUCCESS);
    forms();
}

/* What goes down in a grid comes from above. */
static void grid(int first, int second, int ring) {
    int dims[2] = {first, second}, periods[2] = {ring, !ring};
    CHECK(MPI_Cart_create(MPI_COMM_WORLD, 2, dims, periods, 0, &comm) == MPI_SUCCESS);
    if (comm == MPI_COMM_NULL) return;
    sources = destinations = 4;
    for (int dim = 0; dim < 2; dim++) {
        MPI_Cart_shift(comm, dim, 1, source + 2 * dim, source + 2 * dim + 1);
    }
    for (int k = 0; k < 4; k++) block[k] = k ^ 1;
    forms();
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &me);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    graph();
    for (int ring = 0; ring < 2; ring++) {
        grid(size, 1, ring);
        grid(1, size, ring);
        if (size >= 2) grid(2, size / 2, ring);
    }
    MPI_Finalize();
    return 0;
}
