/* Reductions with the standard's operations. */
#include "check.h"

#define MOST 5000
static int rank, size;
static long long in[MOST], out[MOST];

static void sums(int n, int root, int in_place) {
    long long sum = (long long)size * (size - 1) / 2;
    for (int i = 0; i < n; i++) {
        in[i] = rank + (long long)i * 100;
        out[i] = in_place ? in[i] : -1;
    }
    MPI_Datatype type = MPI_LONG_LONG;
    MPI_Comm world = MPI_COMM_WORLD;
    const void *from = in_place ? MPI_IN_PLACE : in;
    MPI_Allreduce(from, out, n, type, MPI_SUM, world);
    for (int i = 0; i < n; i++) {
        CHECK(out[i] == sum + (long long)i * 100 * size);
        out[i] = in_place ? in[i] : -1;
    }
    if (rank == root) {
        MPI_Reduce(from, out, n, type, MPI_MAX, root, world);
    } else {
        MPI_Reduce(in, NULL, n, type, MPI_MAX, root, world);
    }
    for (int i = 0; i < n; i++) {
        CHECK(rank == root ? out[i] == size - 1 + i * 100 : out[i] == (in_place ? in[i] : -1));
        out[i] = in_place ? in[i] : -1;
    }
    MPI_Scan(from, out, n, type, MPI_SUM, world);
    for (int i = 0; i < n; i++) {
        CHECK(out[i] == (long long)rank * (rank + 1) / 2 + (rank + 1LL) * i * 100);
        out[i] = in_place ? in[i] : -1;
    }
    MPI_Exscan(from, out, n, type, MPI_SUM, world);
    for (int i = 0; i < n; i++) {
        long long before = (long long)rank * (rank - 1) / 2 + (long long)rank * i * 100;
        CHECK(rank > 0 ? out[i] == before : out[i] == (in_place ? in[i] : -1));
    }
}

static void scattered(int n, int in_place) {
    int counts[64], total = 0, mine = 0;
    for (int r = 0; r < size; r++) {
        counts[r] = r % 3 == 1 ? 0 : n + r;
        mine = r < rank ? mine + counts[r] : mine;
        total += counts[r];
    }
    CHECK(total <= MOST);
    for (int i = 0; i < total; i++) {
        in[i] = rank + i;
        out[i] = in_place ? in[i] : -1;
    }
    const void *from = in_place ? MPI_IN_PLACE : in;
    MPI_Reduce_scatter(from, out, counts, MPI_LONG_LONG, MPI_SUM, MPI_COMM_WORLD);
    long long sum = (long long)size * (size - 1) / 2;
    for (int i = 0; i < counts[rank]; i++) {
        CHECK(out[i] == sum + (long long)size * (mine + i));
    }
    CHECK(in_place || out[counts[rank]] == -1);
    for (int i = 0; i < n * size; i++) {
        in[i] = rank + i;
        out[i] = in_place ? in[i] : -1;
    }
    MPI_Reduce_scatter_block(from, out, n, MPI_LONG_LONG, MPI_SUM, MPI_COMM_WORLD);
    for (int i = 0; i < n; i++) {
        CHECK(out[i] == sum + (long long)size * (rank * n + i));
    }
}

/* The sum of numbers with a point is the same everywhere, to the last bit. */
static void bits(int n) {
    double *mine = malloc(n * sizeof *mine), *sum = malloc(n * sizeof *sum);
    double *theirs = malloc(n * sizeof *theirs);
    for (int i = 0; i < n; i++) {
        mine[i] = 1.0 / (1 + rank * 7 + i);
    }
    MPI_Allreduce(mine, sum, n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    memcpy(theirs, sum, n * sizeof *sum);
    MPI_Bcast(theirs, n, MPI_DOUBLE, 0, MPI_COMM_WORLD);
    CHECK(memcmp(theirs, sum, n * sizeof *sum) == 0);
    for (int i = 0; i < n; i += 97) {
        double due = 0;
        for (int r = 0; r < size; r++) {
            due += 1.0 / (1 + r * 7 + i);
        }
        CHECK(sum[i] - due < 1e-12 && due - sum[i] < 1e-12);
    }
    free(mine);
    free(sum);
    free(theirs);
}

static void places(void) {
    struct {
        double value;
        int place;
    } mine = {rank % 2 ? 1.5 : 2.5, rank}, found;
    MPI_Allreduce(&mine, &found, 1, MPI_DOUBLE_INT, MPI_MINLOC, MPI_COMM_WORLD);
    CHECK(found.value == (size > 1 ? 1.5 : 2.5) && found.place == (size > 1 ? 1 : 0));
    MPI_Allreduce(&mine, &found, 1, MPI_DOUBLE_INT, MPI_MAXLOC, MPI_COMM_WORLD);
    CHECK(found.value == 2.5 && found.place == 0);
    struct {
        short value;
        int place;
    } small = {(short)-rank, 100 - rank}, least;
    MPI_Allreduce(&small, &least, 1, MPI_SHORT_INT, MPI_MINLOC, MPI_COMM_WORLD);
    CHECK(least.value == 1 - size && least.place == 101 - size);
}

static void types(void) {
    /* More digits than a double has, and exact in whatever order. */
    long double one = 1 + 0x1p-100L, sum;
    MPI_Allreduce(&one, &sum, 1, MPI_LONG_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    long double due = one;
    for (int r = 1; r < size; r++) {
        due = one + due;
    }
    CHECK(sum == due);
    long double two = 1 + 0x1p-6L;
    MPI_Allreduce(&two, &sum, 1, MPI_LONG_DOUBLE, MPI_PROD, MPI_COMM_WORLD);
    due = two;
    for (int r = 1; r < size; r++) {
        due = two * due;
    }
    CHECK(sum == due);
    unsigned char bits = (unsigned char)(1 << rank % 8), some;
    MPI_Allreduce(&bits, &some, 1, MPI_BYTE, MPI_BOR, MPI_COMM_WORLD);
    CHECK(some == (size >= 8 ? 255 : (1 << size) - 1));
    _Bool yes = rank == 0, any;
    MPI_Allreduce(&yes, &any, 1, MPI_C_BOOL, MPI_LXOR, MPI_COMM_WORLD);
    CHECK(any);
    _Complex double z = 1 + 1i, w;
    MPI_Allreduce(&z, &w, 1, MPI_C_DOUBLE_COMPLEX, MPI_SUM, MPI_COMM_WORLD);
    CHECK(w == size * (1 + 1i));
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int in_place = 0; in_place < 2; in_place++) {
        sums(0, 0, in_place);
        for (int root = 0; root < size; root += 4) {
            sums(3, root, in_place);
        }
        sums(MOST, size - 1, in_place);
        scattered(1, in_place);
        scattered(200, in_place);
    }
    bits(1);
    bits(1000);
    bits(50000);
    places();
    types();
    MPI_Finalize();
    return 0;
}
