/* Every collective that moves elements, in every form, on communicators of several kinds, between
   types that are equal in signature only. Every word is looked at, those between elements too, and
   what was sent is overwritten as soon as the call is complete. */
#include "check.h"

/* A type by the ints that it takes of those that it spans. */
typedef struct {
    MPI_Datatype type;
    int ints, at[4], span;
} Layout;

enum { BLOCKING, LATER, PERSISTENT, LARGE, LATER_LARGE, PERSISTENT_LARGE, FORMS };

#define MOST 500000
#define NOTHING (-1)

static Layout layouts[3];
static int rank, size, form, send[MOST], receive[MOST];
static MPI_Comm comm;
static MPI_Request request;

static void start(void) {
    MPI_Start(&request);
}

static void finish(int persistent) {
    CHECK(MPI_Wait(&request, MPI_STATUS_IGNORE) == MPI_SUCCESS);
    if (persistent) {
        MPI_Request_free(&request);
    }
    CHECK(request == MPI_REQUEST_NULL);
}

/* One in the form that is tested. */
#define RUN(NAME, NAME_I, ...)                                                                     \
    do {                                                                                           \
        switch (form) {                                                                            \
        case BLOCKING:                                                                             \
            MPI_##NAME(__VA_ARGS__, comm);                                                         \
            break;                                                                                 \
        case LATER:                                                                                \
            MPI_I##NAME_I(__VA_ARGS__, comm, &request);                                            \
            finish(0);                                                                             \
            break;                                                                                 \
        case PERSISTENT:                                                                           \
            MPI_##NAME##_init(__VA_ARGS__, comm, MPI_INFO_NULL, &request);                         \
            start();                                                                               \
            finish(1);                                                                             \
            break;                                                                                 \
        case LARGE:                                                                                \
            MPI_##NAME##_c(__VA_ARGS__, comm);                                                     \
            break;                                                                                 \
        case LATER_LARGE:                                                                          \
            MPI_I##NAME_I##_c(__VA_ARGS__, comm, &request);                                        \
            finish(0);                                                                             \
            break;                                                                                 \
        case PERSISTENT_LARGE:                                                                     \
            MPI_##NAME##_init_c(__VA_ARGS__, comm, MPI_INFO_NULL, &request);                       \
            start();                                                                               \
            finish(1);                                                                             \
            break;                                                                                 \
        }                                                                                          \
    } while (0)

static void layouts_make(void) {
    MPI_Datatype old;
    int at[] = {2, 0};
    layouts[0] = (Layout){MPI_INT, 1, {0}, 1};
    MPI_Type_vector(2, 1, 2, MPI_INT, &old);
    layouts[1] = (Layout){MPI_DATATYPE_NULL, 2, {0, 2}, 4};
    MPI_Type_create_resized(old, 0, 16, &layouts[1].type);
    MPI_Type_free(&old);
    MPI_Type_create_indexed_block(2, 1, at, MPI_INT, &layouts[2].type);
    layouts[2] = (Layout){layouts[2].type, 2, {2, 0}, 3};
    MPI_Type_commit(&layouts[1].type);
    MPI_Type_commit(&layouts[2].type);
}

static int value(int from, int to, int n) {
    return from * 1000003 + to * 5003 + n * 7 + 1;
}

static void fill(int *memory, const Layout *layout, long at, int count, int from, int to) {
    for (int n = 0; n < count * layout->ints; n++) {
        long place = (at + n / layout->ints) * layout->span + layout->at[n % layout->ints];
        memory[place] = value(from, to, n);
    }
}

static long words;

/* Sees that a block has come, and forgets it. */
static void came(const Layout *layout, long at, int count, int from, int to) {
    for (int n = 0; n < count * layout->ints; n++) {
        long place = (at + n / layout->ints) * layout->span + layout->at[n % layout->ints];
        if (receive[place] != value(from, to, n)) {
            fprintf(stderr, "form %d, %d of %d ranks: word %d of %d from %d is %d\n", form, rank,
                    size, n, count, from, receive[place]);
            exit(1);
        }
        receive[place] = NOTHING;
    }
}

static void begin(long count) {
    words = count + 16;
    CHECK(words <= MOST);
    for (long i = 0; i < words; i++) {
        send[i] = receive[i] = NOTHING;
    }
}

/* Nothing else was written. */
static void end(void) {
    for (long i = 0; i < words; i++) {
        CHECK(receive[i] == NOTHING);
    }
}

static void scribble(void) {
    memset(send, 0x5a, words * sizeof *send);
}

/* Blocks of one length: `count` of one layout are `others` of the other. */
static void equal(const Layout *one, int count, const Layout *other, int others, int root) {
    int most = count * one->span > others * other->span ? count * one->span : others * other->span;
    for (int in_place = 0; in_place < 2; in_place++) {
        begin((long)most * size);
        fill(send, one, 0, count, rank, 0);
        if (in_place) {
            fill(receive, other, (long)rank * others, others, rank, 0);
        }
        void *own = in_place ? MPI_IN_PLACE : send;
        if (rank == root) {
            RUN(Gather, gather, own, count, one->type, receive, others, other->type, root);
        } else {
            RUN(Gather, gather, send, count, one->type, NULL, -1, MPI_DATATYPE_NULL, root);
            memset(receive, NOTHING, words * sizeof *receive);
        }
        scribble();
        for (int r = 0; r < size && rank == root; r++) {
            came(other, (long)r * others, others, r, 0);
        }
        end();
        begin((long)most * size);
        for (int r = 0; r < size; r++) {
            fill(send, one, (long)r * count, count, rank, r);
        }
        if (rank == root) {
            void *into = in_place ? MPI_IN_PLACE : receive;
            RUN(Scatter, scatter, send, count, one->type, into, others, other->type, root);
        } else {
            RUN(Scatter, scatter, NULL, -1, MPI_DATATYPE_NULL, receive, others, other->type, root);
        }
        scribble();
        if (rank != root || !in_place) {
            came(other, 0, others, root, rank);
        }
        end();
        begin((long)most * size);
        fill(send, one, 0, count, rank, 0);
        if (in_place) {
            fill(receive, other, (long)rank * others, others, rank, 0);
            own = MPI_IN_PLACE;
        }
        RUN(Allgather, allgather, own, count, one->type, receive, others, other->type);
        scribble();
        for (int r = 0; r < size; r++) {
            came(other, (long)r * others, others, r, 0);
        }
        end();
        begin((long)most * size);
        for (int r = 0; r < size; r++) {
            fill(send, one, (long)r * count, count, rank, r);
            if (in_place) {
                fill(receive, other, (long)r * others, others, rank, r);
            }
        }
        RUN(Alltoall, alltoall, own, count, one->type, receive, others, other->type);
        scribble();
        for (int r = 0; r < size; r++) {
            came(other, (long)r * others, others, r, rank);
        }
        end();
    }
    begin(most);
    const Layout *mine = rank == root ? one : other;
    int own = rank == root ? count : others;
    if (rank == root) {
        fill(receive, one, 0, count, root, 0);
    }
    RUN(Bcast, bcast, receive, own, mine->type, root);
    came(mine, 0, own, root, 0);
    end();
}

/* Counts and places as the form wants them. */
typedef struct {
    int count[40], at[40];
    MPI_Count count_c[40];
    MPI_Aint at_c[40];
} Blocks;

static void set(Blocks *blocks, int r, int count, long at) {
    blocks->count[r] = count;
    blocks->count_c[r] = count;
    blocks->at[r] = (int)at;
    blocks->at_c[r] = at;
}

#define COUNTS(blocks) (form >= LARGE ? (void *)(blocks).count_c : (void *)(blocks).count)
#define PLACES(blocks) (form >= LARGE ? (void *)(blocks).at_c : (void *)(blocks).at)

/* Blocks of different lengths, some of none, with room between them, the last rank's first. */
static void different(const Layout *of, int count, int root) {
    Blocks all, pairs;
    long at = 0, pairs_at = 0;
    for (int r = size - 1; r >= 0; r--) {
        set(&all, r, r % 3 == 1 ? 0 : count + r % 2, at);
        at += all.count[r] + r % 2;
        set(&pairs, r, (r + rank) % 3 == 1 ? 0 : count + (r + rank) % 2, pairs_at);
        pairs_at += pairs.count[r] + 1;
    }
    int own = all.count[rank], own_at = all.at[rank];
    MPI_Datatype type = of->type;
    for (int in_place = 0; in_place < 2; in_place++) {
        begin(at * of->span);
        fill(send, of, 0, own, rank, 0);
        if (in_place && rank == root) {
            fill(receive, of, own_at, own, rank, 0);
        }
        void *mine = in_place && rank == root ? MPI_IN_PLACE : send;
        RUN(Gatherv, gatherv, mine, own, type, receive, COUNTS(all), PLACES(all), type, root);
        scribble();
        for (int r = 0; r < size && rank == root; r++) {
            came(of, all.at[r], all.count[r], r, 0);
        }
        end();
        begin(at * of->span);
        for (int r = 0; r < size; r++) {
            fill(send, of, all.at[r], all.count[r], rank, r);
        }
        void *into = in_place && rank == root ? MPI_IN_PLACE : receive;
        RUN(Scatterv, scatterv, send, COUNTS(all), PLACES(all), type, into, own, type, root);
        scribble();
        if (into == receive) {
            came(of, 0, own, root, rank);
        }
        end();
        begin(at * of->span);
        fill(in_place ? receive : send, of, in_place ? own_at : 0, own, rank, 0);
        mine = in_place ? MPI_IN_PLACE : send;
        RUN(Allgatherv, allgatherv, mine, own, type, receive, COUNTS(all), PLACES(all), type);
        scribble();
        for (int r = 0; r < size; r++) {
            came(of, all.at[r], all.count[r], r, 0);
        }
        end();
        MPI_Datatype types[40];
        for (int wide = 0; wide < 2; wide++) {
            begin(pairs_at * of->span);
            Blocks places = pairs;
            for (int r = 0; r < size; r++) {
                fill(in_place ? receive : send, of, pairs.at[r], pairs.count[r], rank, r);
                set(&places, r, pairs.count[r], (long)pairs.at[r] * of->span * 4);
                types[r] = type;
            }
            void *c = COUNTS(pairs);
            if (wide) {
                void *p = PLACES(places);
                RUN(Alltoallw, alltoallw, mine, c, p, types, receive, c, p, types);
            } else {
                void *p = PLACES(pairs);
                RUN(Alltoallv, alltoallv, mine, c, p, type, receive, c, p, type);
            }
            scribble();
            for (int r = 0; r < size; r++) {
                came(of, pairs.at[r], pairs.count[r], r, rank);
            }
            end();
        }
    }
}

int main(int argc, char **argv) {
    int world;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &world);
    layouts_make();
    for (int kind = 0; kind < 3; kind++) {
        if (kind == 0) {
            MPI_Comm_dup(MPI_COMM_WORLD, &comm);
        } else if (kind == 1) {
            MPI_Comm_split(MPI_COMM_WORLD, 0, -world, &comm);
        } else {
            MPI_Comm_split(MPI_COMM_WORLD, world % 2, world, &comm);
        }
        MPI_Comm_rank(comm, &rank);
        MPI_Comm_size(comm, &size);
        int counts[] = {0, 1, 6, 1200, 30000 / size};
        for (form = 0; form < FORMS; form++) {
            for (int i = 0; i < 5; i++) {
                const Layout *one = &layouts[(i + form + kind) % 3];
                const Layout *other = &layouts[(i + form + 1) % 3];
                int root = (i + form) % size, count = counts[i];
                if (i == 4 && (form + kind) % 3 != 0) {
                    continue;
                }
                equal(one, count * 2 / one->ints, other, count * 2 / other->ints, root);
                different(one, count, root);
            }
        }
        MPI_Comm_free(&comm);
    }
    MPI_Type_free(&layouts[1].type);
    MPI_Type_free(&layouts[2].type);
    MPI_Finalize();
    return 0;
}
