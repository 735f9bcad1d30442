// Ranks that work together for ever, and go on with those that are left when some fail.
// Arguments: what they do; how many are to be left at the end, or 0 if no failure is borne.
#include <faasm.h>
#include <mpi-ext.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long long in[20000], sums[20000];

// Whether all went well.
static int work(const char *what, MPI_Comm comm)
{
    int rank, size, token = 0;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    if (strcmp(what, "p2p") == 0)
        return MPI_Sendrecv_replace(&token, 1, MPI_INT, (rank + 1) % size, 1,
                                    (rank + size - 1) % size, 1, comm, MPI_STATUS_IGNORE);
    if (strcmp(what, "later") == 0) {
        MPI_Request request;
        const int code = MPI_Iallreduce(in, sums, 20000, MPI_LONG_LONG, MPI_SUM, comm, &request);
        return code ? code : MPI_Wait(&request, MPI_STATUS_IGNORE);
    }
    if (strcmp(what, "split") == 0) {
        MPI_Comm part;
        const int code = MPI_Comm_split(comm, rank % 2, 0, &part);
        return code ? code : MPI_Comm_free(&part);
    }
    if (strcmp(what, "shrink") == 0) {
        MPI_Comm same;
        const int code = MPIX_Comm_shrink(comm, &same);
        int now = 0;
        if (code)
            return code;
        MPI_Comm_size(same, &now);
        MPI_Comm_free(&same);
        return now < size;
    }
    // One after the other: each kind of collective meets the failure at some time.
    static int turn;
    switch (turn++ % 4) {
    case 0:
        return MPI_Allreduce(in, sums, 1, MPI_LONG_LONG, MPI_SUM, comm);
    case 1:
        return MPI_Bcast(in, 20000, MPI_LONG_LONG, size - 1, comm);
    case 2:
        return MPI_Allgather(in, 10, MPI_LONG_LONG, sums, 10, MPI_LONG_LONG, comm);
    default:
        return MPI_Barrier(comm);
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "all";
    const int left = argc > 2 ? atoi(argv[2]) : 0;
    int rank, size;
    MPI_Comm comm = MPI_COMM_WORLD;
    if (strcmp(what, "init") == 0)
        for (volatile unsigned turns = 0;; turns++)
            ;
    MPI_Init(&argc, &argv);
    if (left)
        MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    MPI_Comm_size(comm, &size);
    printf("begun\n");
    fflush(stdout);
    if (strcmp(what, "finalize") == 0) {
        MPI_Comm_rank(comm, &rank);
        // The last ones do not come to it.
        if (rank >= size - 2)
            for (volatile unsigned turns = 0;; turns++)
                ;
        MPI_Finalize();
        return 0;
    }
    while (left == 0 || size > left) {
        if (work(what, comm) == MPI_SUCCESS)
            continue;
        MPI_Comm next;
        MPIX_Comm_revoke(comm);
        if (MPIX_Comm_shrink(comm, &next) != MPI_SUCCESS)
            return 90;
        comm = next;
        MPI_Comm_size(comm, &size);
    }
    MPI_Comm_rank(comm, &rank);
    long long mine = rank, sum = 0;
    int flag = 6 + rank % 2;
    if (MPI_Allreduce(&mine, &sum, 1, MPI_LONG_LONG, MPI_SUM, comm) != MPI_SUCCESS)
        return 91;
    if (MPIX_Comm_agree(comm, &flag) != MPI_SUCCESS || flag != (size > 1 ? 6 : 6 + rank % 2))
        return 92;
    if (sum != (long long)size * (size - 1) / 2)
        return 93;
    MPI_Finalize();
    return 7;
}
