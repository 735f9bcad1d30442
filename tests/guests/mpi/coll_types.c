/* Collectives of derived types, and what the program's operations see of them. */
#include "check.h"

static int rank, size;

/* A value before the address that the type is at, and one behind a gap. */
struct around {
    int before, gap, behind;
};

static MPI_Datatype around(void) {
    MPI_Datatype made, resized;
    int lengths[2] = {1, 1};
    MPI_Aint places[2] = {-4, 4};
    MPI_Datatype types[2] = {MPI_INT, MPI_INT};
    MPI_Type_create_struct(2, lengths, places, types, &made);
    MPI_Type_create_resized(made, -4, sizeof(struct around), &resized);
    MPI_Type_free(&made);
    MPI_Type_commit(&resized);
    return resized;
}

static MPI_Datatype seen;

static void add(void *in, void *inout, int *len, MPI_Datatype *type) {
    CHECK(*type == seen);
    for (int i = 0; i < *len; i++) {
        int *a = (int *)in + 3 * i, *b = (int *)inout + 3 * i;
        b[-1] += a[-1];
        b[1] += a[1];
    }
}

static void matrices(void) {
    int n = size * 2, *mine = malloc(n * sizeof *mine * 2), *all = malloc(n * n * sizeof *all);
    MPI_Datatype column, step;
    /* Each rank has two columns; the root puts them side by side in rows. */
    MPI_Type_vector(n, 1, n, MPI_INT, &column);
    MPI_Type_create_resized(column, 0, sizeof(int), &step);
    MPI_Type_commit(&step);
    for (int i = 0; i < 2 * n; i++) {
        mine[i] = (rank * 2 + i / n) * 1000 + i % n;
    }
    MPI_Allgather(mine, 2 * n, MPI_INT, all, 2, step, MPI_COMM_WORLD);
    for (int row = 0; row < n; row++) {
        for (int at = 0; at < n; at++) {
            CHECK(all[row * n + at] == at * 1000 + row);
        }
    }
    MPI_Scatter(all, 2, step, mine, 2 * n, MPI_INT, 0, MPI_COMM_WORLD);
    for (int i = 0; i < 2 * n; i++) {
        CHECK(mine[i] == (rank * 2 + i / n) * 1000 + i % n);
    }
    MPI_Type_free(&column);
    MPI_Type_free(&step);
    free(mine);
    free(all);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    enum { N = 2000 };
    static struct around mine[N], sum[N];
    MPI_Op op;
    seen = around();
    MPI_Op_create(add, 1, &op);
    for (int n = 1; n <= N; n += N - 1) {
        for (int i = 0; i < n; i++) {
            mine[i] = (struct around){rank, 9, i};
            sum[i] = (struct around){-1, -1, -1};
        }
        MPI_Allreduce(&mine[0].gap, &sum[0].gap, n, seen, op, MPI_COMM_WORLD);
        for (int i = 0; i < n; i++) {
            CHECK(sum[i].before == size * (size - 1) / 2 && sum[i].behind == size * i);
            CHECK(sum[i].gap == -1);
        }
        MPI_Reduce_local(&mine[0].gap, &sum[0].gap, n, seen, op);
        CHECK(sum[0].before == size * (size - 1) / 2 + rank && sum[0].gap == -1);
        MPI_Bcast(&sum[0].gap, n, seen, 0, MPI_COMM_WORLD);
        CHECK(sum[0].before == size * (size - 1) / 2 && sum[0].gap == -1);
    }
    matrices();
    MPI_Op_free(&op);
    MPI_Type_free(&seen);
    MPI_Finalize();
    return 0;
}
