/* Ranks that differ in how many elements they bring to a collective: some get an error, and nobody
   waits for ever. Argument: how many elements the others bring. */
#include "check.h"

#define MOST 200000
#define RANKS 32

static int in[MOST + 100], out[RANKS * (MOST / 4 + 100)];
static int counts[RANKS], displs[RANKS];

static void all_of(int size, int count) {
    for (int rank = 0; rank < size; rank++) {
        counts[rank] = count;
        displs[rank] = rank * count;
    }
}

static int run(int what, int count, int root, MPI_Comm comm) {
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    const int few = count < MOST / 4 ? count : MOST / 4;
    all_of(size, few);
    switch (what) {
    case 0: return MPI_Bcast(in, count, MPI_INT, root, comm);
    case 1: return MPI_Reduce(in, out, count, MPI_INT, MPI_SUM, root, comm);
    case 2: return MPI_Allreduce(in, out, count, MPI_INT, MPI_SUM, comm);
    case 3: return MPI_Gather(in, few, MPI_INT, out, few, MPI_INT, root, comm);
    case 4: return MPI_Scatter(out, few, MPI_INT, in, few, MPI_INT, root, comm);
    case 5: return MPI_Allgather(in, few, MPI_INT, out, few, MPI_INT, comm);
    case 6: return MPI_Alltoall(out, few / size, MPI_INT, in, few / size, MPI_INT, comm);
    case 7: return MPI_Reduce_scatter_block(in, out, few / size, MPI_INT, MPI_SUM, comm);
    case 8: return MPI_Scan(in, out, count, MPI_INT, MPI_SUM, comm);
    case 9: return MPI_Exscan(in, out, count, MPI_INT, MPI_SUM, comm);
    case 10: return MPI_Gatherv(in, few, MPI_INT, out, counts, displs, MPI_INT, root, comm);
    case 11: return MPI_Scatterv(out, counts, displs, MPI_INT, in, few, MPI_INT, root, comm);
    case 12: return MPI_Allgatherv(in, few, MPI_INT, out, counts, displs, MPI_INT, comm);
    case 13: return MPI_Reduce_scatter(in, out, counts, MPI_INT, MPI_SUM, comm);
    default: {
        MPI_Request request;
        int code = MPI_Iallreduce(in, out, count, MPI_INT, MPI_SUM, comm, &request);
        return code ? code : MPI_Wait(&request, MPI_STATUS_IGNORE);
    }
    }
}

int main(int argc, char **argv) {
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    const int count = atoi(argv[1]), more = size + 1;
    for (int what = 0; what < 15; what++)
        for (int other = 0; other < size; other++)
            for (int sign = -1; sign <= 1; sign += 2) {
                const int root = (other + what) % size;
                MPI_Comm comm;
                MPI_Comm_dup(MPI_COMM_WORLD, &comm);
                MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
                const int code =
                    run(what, rank == other ? count + sign * more : count, root, comm);
                int failed = code != MPI_SUCCESS, any = 0, class = 0;
                MPI_Error_class(code, &class);
                CHECK(!failed || class == MPI_ERR_TRUNCATE || class == MPI_ERR_COUNT);
                MPI_Allreduce(&failed, &any, 1, MPI_INT, MPI_LOR, MPI_COMM_WORLD);
                /* Who sends less than another waits for may do so in some; a root of its own not. */
                if (!any && size > 1 && (what == 1 || what == 2 || what == 8 || what == 14)) {
                    fprintf(stderr, "%d with rank %d: all is well\n", what, other);
                    return 1;
                }
                /* What follows is not touched by it. */
                int one = 1, sum = 0;
                MPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
                CHECK(sum == size);
                MPI_Comm_free(&comm);
            }
    MPI_Finalize();
    return 0;
}
