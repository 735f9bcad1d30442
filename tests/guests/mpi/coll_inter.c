/* Collectives between two groups: even ranks and odd ones. */
#include "check.h"

static int rank, size, me, mine, theirs, side;
static MPI_Comm inter;

static void rooted(int from) {
    int root = me == 0 ? MPI_ROOT : MPI_PROC_NULL, value[64], list[64];
    int r = side == from ? root : 0;
    value[0] = side == from && me == 0 ? 42 + from : -1;
    MPI_Bcast(value, 1, MPI_INT, r, inter);
    CHECK(value[0] == (side == from ? (me == 0 ? 42 + from : -1) : 42 + from));
    /* From the other side to the root. */
    memset(list, -1, sizeof list);
    MPI_Gather(&rank, 1, MPI_INT, list, 1, MPI_INT, r, inter);
    for (int i = 0; i < theirs && r == MPI_ROOT; i++) {
        CHECK(list[i] == 2 * i + !side);
    }
    CHECK(r == MPI_ROOT || list[0] == -1);
    for (int i = 0; i < 64; i++) {
        list[i] = i * 3;
    }
    value[0] = -1;
    MPI_Scatter(list, 1, MPI_INT, value, 1, MPI_INT, r, inter);
    CHECK(value[0] == (side == from ? -1 : me * 3));
    int sum = -1;
    MPI_Reduce(&rank, &sum, 1, MPI_INT, MPI_SUM, r, inter);
    CHECK(sum == (r == MPI_ROOT ? theirs * (theirs - 1) + (side ? 0 : theirs) : -1));
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    side = rank % 2;
    MPI_Comm local;
    MPI_Comm_split(MPI_COMM_WORLD, side, 0, &local);
    MPI_Intercomm_create(local, 0, MPI_COMM_WORLD, !side, 5, &inter);
    MPI_Comm_rank(inter, &me);
    MPI_Comm_size(inter, &mine);
    MPI_Comm_remote_size(inter, &theirs);
    CHECK(MPI_Barrier(inter) == MPI_SUCCESS);
    rooted(0);
    rooted(1);
    int list[64], to[64], sum, due = theirs * (theirs - 1) + (side ? 0 : theirs);
    MPI_Allgather(&rank, 1, MPI_INT, list, 1, MPI_INT, inter);
    for (int i = 0; i < theirs; i++) {
        CHECK(list[i] == 2 * i + !side);
        to[i] = rank * 100 + i;
    }
    MPI_Alltoall(to, 1, MPI_INT, list, 1, MPI_INT, inter);
    for (int i = 0; i < theirs; i++) {
        CHECK(list[i] == (2 * i + !side) * 100 + me);
    }
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, inter);
    CHECK(sum == due);
    /* As many elements on both sides, in pieces of each. */
    int block = theirs, total = mine * theirs, from[400], piece[64];
    for (int i = 0; i < total; i++) {
        from[i] = rank + i;
    }
    MPI_Reduce_scatter_block(from, piece, block, MPI_INT, MPI_SUM, inter);
    for (int i = 0; i < block; i++) {
        CHECK(piece[i] == due + theirs * (me * block + i));
    }
    MPI_Request request;
    MPI_Iallreduce(&rank, &sum, 1, MPI_INT, MPI_MAX, inter, &request);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    CHECK(sum == 2 * (theirs - 1) + !side);
    MPI_Comm_set_errhandler(inter, MPI_ERRORS_RETURN);
    FAILS(MPI_ERR_COMM, MPI_Scan(&rank, &sum, 1, MPI_INT, MPI_SUM, inter));
    FAILS(MPI_ERR_ROOT, MPI_Bcast(&sum, 1, MPI_INT, theirs, inter));
    FAILS(MPI_ERR_BUFFER, MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_INT, MPI_SUM, inter));
    MPI_Comm_free(&inter);
    MPI_Comm_free(&local);
    MPI_Finalize();
    return 0;
}
