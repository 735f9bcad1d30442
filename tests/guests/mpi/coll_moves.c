/* Collectives that move elements: all forms of each, on any number of ranks. */
#include "check.h"

#define MOST 20000
static int rank, size;
static int in[MOST], out[MOST];
static int counts[64], places[64], zeros[64];
static MPI_Count large_counts[64];
static MPI_Aint large_places[64];

static int value(int from, int to, int at) { return from * 1000003 + to * 1009 + at; }

static void clear(void) {
    for (int i = 0; i < MOST; i++) {
        out[i] = -1;
    }
}

static void bcast(int n, int root) {
    clear();
    if (rank == root) {
        for (int i = 0; i < n; i++) {
            out[i] = value(root, 0, i);
        }
    }
    CHECK(MPI_Bcast(out, n, MPI_INT, root, MPI_COMM_WORLD) == MPI_SUCCESS);
    for (int i = 0; i < n; i++) {
        CHECK(out[i] == value(root, 0, i));
    }
    CHECK(out[n] == -1);
    CHECK(MPI_Bcast_c(out, n, MPI_INT, root, MPI_COMM_WORLD) == MPI_SUCCESS);
}

static void gather(int n, int root, int in_place) {
    clear();
    for (int i = 0; i < n; i++) {
        in[i] = value(rank, 0, i);
        if (in_place && rank == root) {
            out[rank * n + i] = in[i];
        }
    }
    const void *from = in_place && rank == root ? MPI_IN_PLACE : in;
    MPI_Gather(from, n, MPI_INT, out, n, MPI_INT, root, MPI_COMM_WORLD);
    for (int r = 0; r < size && rank == root; r++) {
        for (int i = 0; i < n; i++) {
            CHECK(out[r * n + i] == value(r, 0, i));
        }
    }
    CHECK(rank == root || out[0] == -1);
    clear();
    const void *back = in_place && rank == root ? MPI_IN_PLACE : out;
    for (int r = 0; r < size; r++) {
        for (int i = 0; i < n; i++) {
            in[r * n + i] = value(root, r, i);
        }
    }
    MPI_Scatter(in, n, MPI_INT, (void *)back, n, MPI_INT, root, MPI_COMM_WORLD);
    for (int i = 0; i < n && back == out; i++) {
        CHECK(out[i] == value(root, rank, i));
    }
    CHECK(out[n] == -1);
}

/* Rank r has r + 1 elements, and there are gaps between those of the ranks. */
static void gather_v(int root, int in_place) {
    int at = 1;
    for (int r = 0; r < size; r++) {
        counts[r] = large_counts[r] = r + 1;
        places[r] = large_places[r] = at;
        at += r + 2;
    }
    clear();
    for (int i = 0; i <= rank; i++) {
        in[i] = value(rank, 0, i);
        if (in_place) {
            out[places[rank] + i] = in[i];
        }
    }
    const void *from = in_place && rank == root ? MPI_IN_PLACE : in;
    MPI_Gatherv(from, rank + 1, MPI_INT, out, counts, places, MPI_INT, root, MPI_COMM_WORLD);
    for (int r = 0; r < size && rank == root; r++) {
        CHECK(out[places[r] - 1] == -1);
        for (int i = 0; i <= r; i++) {
            CHECK(out[places[r] + i] == value(r, 0, i));
        }
    }
    clear();
    for (int i = 0; i <= rank && in_place; i++) {
        out[places[rank] + i] = in[i];
    }
    from = in_place ? MPI_IN_PLACE : in;
    if (in_place) {
        MPI_Allgatherv(from, 0, MPI_INT, out, counts, places, MPI_INT, MPI_COMM_WORLD);
    } else {
        MPI_Allgatherv_c(from, rank + 1, MPI_INT, out, large_counts, large_places, MPI_INT,
                         MPI_COMM_WORLD);
    }
    for (int r = 0; r < size; r++) {
        CHECK(out[places[r] - 1] == -1);
        for (int i = 0; i <= r; i++) {
            CHECK(out[places[r] + i] == value(r, 0, i));
        }
    }
    for (int r = 0; r < size; r++) {
        for (int i = 0; i <= r; i++) {
            in[places[r] + i] = value(root, r, i);
        }
    }
    clear();
    MPI_Scatterv(in, counts, places, MPI_INT, out, rank + 1, MPI_INT, root, MPI_COMM_WORLD);
    for (int i = 0; i <= rank; i++) {
        CHECK(out[i] == value(root, rank, i));
    }
    CHECK(out[rank + 1] == -1);
}

static void all_to_all(int n, int in_place) {
    clear();
    int *to = in_place ? out : in;
    for (int r = 0; r < size; r++) {
        for (int i = 0; i < n; i++) {
            to[r * n + i] = value(rank, r, i);
        }
    }
    MPI_Alltoall(in_place ? MPI_IN_PLACE : in, n, MPI_INT, out, n, MPI_INT, MPI_COMM_WORLD);
    for (int r = 0; r < size; r++) {
        for (int i = 0; i < n; i++) {
            CHECK(out[r * n + i] == value(r, rank, i));
        }
    }
    CHECK(out[size * n] == -1);
    clear();
    for (int i = 0; i < n; i++) {
        in[i] = value(rank, 0, i);
        out[rank * n + i] = in[i];
    }
    MPI_Allgather(in_place ? MPI_IN_PLACE : in, n, MPI_INT, out, n, MPI_INT, MPI_COMM_WORLD);
    for (int r = 0; r < size; r++) {
        for (int i = 0; i < n; i++) {
            CHECK(out[r * n + i] == value(r, 0, i));
        }
    }
}

/* What goes from r to s are (r + s) % 3 elements. */
static void all_to_all_v(void) {
    int at = 0;
    MPI_Datatype types[64];
    int bytes[64];
    for (int r = 0; r < size; r++) {
        counts[r] = large_counts[r] = (r + rank) % 3;
        places[r] = large_places[r] = at;
        bytes[r] = at * (int)sizeof(int);
        types[r] = MPI_INT;
        at += 4;
        for (int i = 0; i < counts[r]; i++) {
            in[places[r] + i] = value(rank, r, i);
        }
    }
    for (int form = 0; form < 4; form++) {
        clear();
        switch (form) {
        case 0:
            MPI_Alltoallv(in, counts, places, MPI_INT, out, counts, places, MPI_INT,
                          MPI_COMM_WORLD);
            break;
        case 1:
            MPI_Alltoallv_c(in, large_counts, large_places, MPI_INT, out, large_counts,
                            large_places, MPI_INT, MPI_COMM_WORLD);
            break;
        case 2:
            MPI_Alltoallw(in, counts, bytes, types, out, counts, bytes, types, MPI_COMM_WORLD);
            break;
        default:
            memcpy(out, in, sizeof in);
            MPI_Alltoallw(MPI_IN_PLACE, zeros, zeros, types, out, counts, bytes, types,
                          MPI_COMM_WORLD);
        }
        for (int r = 0; r < size; r++) {
            for (int i = 0; i < counts[r]; i++) {
                CHECK(out[places[r] + i] == value(r, rank, i));
            }
            CHECK(form == 3 || out[places[r] + counts[r]] == -1);
        }
    }
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int root = 0; root < size; root += 3) {
        bcast(0, root);
        bcast(5, root);
        bcast(10000, root);
        for (int in_place = 0; in_place < 2; in_place++) {
            gather(1, root, in_place);
            gather(1000, root, in_place);
            gather_v(root, in_place);
        }
    }
    for (int in_place = 0; in_place < 2; in_place++) {
        all_to_all(0, in_place);
        all_to_all(3, in_place);
        all_to_all(1000, in_place);
    }
    all_to_all_v();
    CHECK(MPI_Barrier(MPI_COMM_WORLD) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}
