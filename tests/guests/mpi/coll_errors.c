/* What is wrong with a collective is said before anything is sent. */
#include "check.h"

static void op(void *in, void *inout, int *len, MPI_Datatype *type) {
    (void)in;
    (void)inout;
    (void)len;
    (void)type;
}

int main(int argc, char **argv) {
    int rank, size, a[64] = {0}, b[64] = {0}, minus[64];
    MPI_Comm world = MPI_COMM_WORLD;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(world, &rank);
    MPI_Comm_size(world, &size);
    MPI_Comm_set_errhandler(world, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    for (int i = 0; i < 64; i++) {
        minus[i] = -1;
    }
    FAILS(MPI_ERR_COMM, MPI_Barrier(MPI_COMM_NULL));
    FAILS(MPI_ERR_ROOT, MPI_Bcast(a, 1, MPI_INT, size, world));
    FAILS(MPI_ERR_ROOT, MPI_Bcast(a, 1, MPI_INT, -1, world));
    FAILS(MPI_ERR_ROOT, MPI_Bcast(a, 1, MPI_INT, MPI_ROOT, world));
    FAILS(MPI_ERR_COUNT, MPI_Bcast(a, -1, MPI_INT, 0, world));
    FAILS(MPI_ERR_TYPE, MPI_Bcast(a, 1, MPI_DATATYPE_NULL, 0, world));
    FAILS(MPI_ERR_BUFFER, MPI_Bcast(NULL, 1, MPI_INT, 0, world));
    FAILS(MPI_ERR_BUFFER, MPI_Bcast(MPI_IN_PLACE, 1, MPI_INT, 0, world));
    FAILS(MPI_ERR_BUFFER, MPI_Bcast((void *)0xfffffff0, 100, MPI_INT, 0, MPI_COMM_SELF));
    FAILS(MPI_ERR_OP, MPI_Allreduce(a, b, 1, MPI_INT, MPI_OP_NULL, world));
    FAILS(MPI_ERR_OP, MPI_Allreduce(a, b, 1, MPI_BYTE, MPI_SUM, world));
    FAILS(MPI_ERR_OP, MPI_Allreduce(a, b, 1, MPI_FLOAT, MPI_BAND, world));
    FAILS(MPI_ERR_OP, MPI_Allreduce(a, b, 1, MPI_INT, MPI_MINLOC, world));
    FAILS(MPI_ERR_OP, MPI_Allreduce(a, b, 1, MPI_INT, MPI_REPLACE, world));
    FAILS(MPI_ERR_BUFFER, MPI_Allreduce(a, a, 1, MPI_INT, MPI_SUM, world));
    FAILS(MPI_ERR_COUNT, MPI_Allreduce(a, b, -1, MPI_INT, MPI_SUM, world));
    FAILS(MPI_ERR_ROOT, MPI_Reduce(a, b, 1, MPI_INT, MPI_SUM, size + 1, world));
    FAILS(MPI_ERR_COUNT, MPI_Reduce_scatter(a, b, minus, MPI_INT, MPI_SUM, world));
    FAILS(MPI_ERR_COUNT, MPI_Alltoallv(a, minus, a, MPI_INT, b, minus, a, MPI_INT, world));
    FAILS(MPI_ERR_ARG, MPI_Alltoallv(a, NULL, a, MPI_INT, b, minus, a, MPI_INT, world));
    FAILS(MPI_ERR_BUFFER, MPI_Gather(a, 1, MPI_INT, NULL, 1, MPI_INT, rank, world));
    FAILS(MPI_ERR_BUFFER, MPI_Allgather(a, 1, MPI_INT, a, 1, MPI_INT, world));
    FAILS(MPI_ERR_TOPOLOGY, MPI_Neighbor_alltoall(a, 1, MPI_INT, b, 1, MPI_INT, world));
    FAILS(MPI_ERR_ARG, MPI_Ibarrier(world, NULL));
    MPI_Datatype pair;
    MPI_Type_contiguous(2, MPI_INT, &pair);
    FAILS(MPI_ERR_TYPE, MPI_Bcast(a, 1, pair, 0, world));
    MPI_Type_commit(&pair);
    FAILS(MPI_ERR_OP, MPI_Allreduce(a, b, 1, pair, MPI_SUM, world));
    MPI_Type_free(&pair);
    MPI_Op made, predefined = MPI_SUM, nothing = MPI_OP_NULL;
    FAILS(MPI_ERR_OP, MPI_Op_free(&predefined));
    FAILS(MPI_ERR_OP, MPI_Op_free(&nothing));
    FAILS(MPI_ERR_ARG, MPI_Op_create(NULL, 1, &made));
    MPI_Op_create(op, 1, &made);
    MPI_Op stale = made;
    MPI_Op_free(&made);
    FAILS(MPI_ERR_OP, MPI_Allreduce(a, b, 1, MPI_INT, stale, world));
    /* A longer block than there is room for is cut. */
    FAILS(MPI_ERR_TRUNCATE, MPI_Gather(a, 2, MPI_INT, b, 1, MPI_INT, 0, MPI_COMM_SELF));
    /* After all that the ranks still agree. */
    int one = 1, sum = 0;
    CHECK(MPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, world) == MPI_SUCCESS && sum == size);
    MPI_Finalize();
    return 0;
}
