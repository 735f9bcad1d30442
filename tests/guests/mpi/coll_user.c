/* Operations of the program: commutative or not, on plain and on derived types. */
#include "check.h"

static int rank, size, calls;

/* 2 x 2 matrices, which do not commute. */
static void times(void *in, void *inout, int *len, MPI_Datatype *type) {
    unsigned *a = in, *b = inout;
    (void)type;
    calls++;
    for (int i = 0; i + 3 < *len; i += 4, a += 4, b += 4) {
        unsigned c[4] = {a[0] * b[0] + a[1] * b[2], a[0] * b[1] + a[1] * b[3],
                         a[2] * b[0] + a[3] * b[2], a[2] * b[1] + a[3] * b[3]};
        memcpy(b, c, sizeof c);
    }
}

static void add(void *in, void *inout, int *len, MPI_Datatype *type) {
    CHECK(*type == MPI_INT);
    for (int i = 0; i < *len; i++) {
        ((int *)inout)[i] += ((int *)in)[i];
    }
}

static void add_large(void *in, void *inout, MPI_Count *len, MPI_Datatype *type) {
    CHECK(*type == MPI_INT);
    for (MPI_Count i = 0; i < *len; i++) {
        ((int *)inout)[i] += ((int *)in)[i];
    }
}

static void matrix(unsigned *m, int r) {
    m[0] = 1 + r;
    m[1] = 2;
    m[2] = 3 * r;
    m[3] = 5;
}

static void product(unsigned *out, int from, int to) {
    int four = 4;
    matrix(out, to - 1);
    for (int r = to - 2; r >= from; r--) {
        unsigned m[4];
        matrix(m, r);
        times(m, out, &four, NULL);
    }
}

/* One number of three. */
static void first(void *in, void *inout, int *len, MPI_Datatype *type) {
    int size = -1;
    MPI_Aint lb = -1, extent = -1;
    CHECK(MPI_Type_size(*type, &size) == MPI_SUCCESS && size == sizeof(int));
    CHECK(MPI_Type_get_extent(*type, &lb, &extent) == MPI_SUCCESS && extent == 3 * sizeof(int));
    calls++;
    for (int i = 0; i < *len; i++) {
        ((int *)inout)[3 * i] += ((int *)in)[3 * i];
    }
}

/* A type is freed while a collective still needs it, and its handle may be another's: the function
   is given one that is good. */
static void freed(void) {
    int mine[9], out[9];
    MPI_Op op;
    MPI_Request request;
    MPI_Datatype type, other;
    for (int i = 0; i < 9; i++) {
        mine[i] = rank + i;
        out[i] = -1;
    }
    MPI_Op_create(first, 1, &op);
    MPI_Type_create_resized(MPI_INT, 0, 3 * sizeof(int), &type);
    MPI_Type_commit(&type);
    MPI_Iallreduce(mine, out, 3, type, op, MPI_COMM_WORLD, &request);
    MPI_Type_free(&type);
    MPI_Op_free(&op);
    MPI_Type_contiguous(5, MPI_CHAR, &other);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    MPI_Type_free(&other);
    for (int i = 0; i < 9; i++) {
        CHECK(out[i] == (i % 3 ? -1 : size * (size - 1) / 2 + size * i));
    }
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Op op, sum, sum_large;
    int commutes = -1;
    MPI_Op_create(times, 0, &op);
    MPI_Op_create(add, 1, &sum);
    MPI_Op_create_c(add_large, 1, &sum_large);
    MPI_Op_commutative(op, &commutes);
    CHECK(commutes == 0);
    MPI_Op_commutative(sum, &commutes);
    CHECK(commutes == 1);
    MPI_Op_commutative(MPI_SUM, &commutes);
    CHECK(commutes == 1);

    unsigned mine[4], out[4], due[4];
    matrix(mine, rank);
    product(due, 0, size);
    MPI_Allreduce(mine, out, 4, MPI_UNSIGNED, op, MPI_COMM_WORLD);
    CHECK(memcmp(out, due, sizeof due) == 0);
    for (int root = 0; root < size; root++) {
        memset(out, 0, sizeof out);
        MPI_Reduce(mine, out, 4, MPI_UNSIGNED, op, root, MPI_COMM_WORLD);
        CHECK(rank != root || memcmp(out, due, sizeof due) == 0);
    }
    product(due, 0, rank + 1);
    MPI_Scan(mine, out, 4, MPI_UNSIGNED, op, MPI_COMM_WORLD);
    CHECK(memcmp(out, due, sizeof due) == 0);
    MPI_Exscan(mine, out, 4, MPI_UNSIGNED, op, MPI_COMM_WORLD);
    if (rank > 0) {
        product(due, 0, rank);
        CHECK(memcmp(out, due, sizeof due) == 0);
    }
    CHECK(size == 1 || calls > 0);

    int n = 3000, *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
    for (int i = 0; i < n; i++) {
        a[i] = rank + i;
    }
    MPI_Allreduce(a, b, n, MPI_INT, sum, MPI_COMM_WORLD);
    for (int i = 0; i < n; i++) {
        CHECK(b[i] == size * (size - 1) / 2 + size * i);
        b[i] = 0;
    }
    MPI_Allreduce(a, b, n, MPI_INT, sum_large, MPI_COMM_WORLD);
    for (int i = 0; i < n; i++) {
        CHECK(b[i] == size * (size - 1) / 2 + size * i);
    }
    int block = 7;
    MPI_Reduce_scatter_block(a, b, block, MPI_INT, sum, MPI_COMM_WORLD);
    for (int i = 0; i < block; i++) {
        CHECK(b[i] == size * (size - 1) / 2 + size * (rank * block + i));
    }
    for (int i = 0; i < n; i++) {
        b[i] = i;
    }
    MPI_Reduce_local(a, b, n, MPI_INT, sum);
    MPI_Reduce_local(a, b, n, MPI_INT, MPI_SUM);
    for (int i = 0; i < n; i++) {
        CHECK(b[i] == 3 * i + 2 * rank);
    }
    freed();
    MPI_Op_free(&op);
    CHECK(op == MPI_OP_NULL);
    MPI_Op_free(&sum);
    MPI_Op_free(&sum_large);
    MPI_Finalize();
    return 0;
}
