/* Many collectives under way at once on one communicator, with messages and blocking collectives
   between them, waited for in any order; ranks that do not agree on a length. */
#include "check.h"

#define MANY 40
#define MOST 600

static int rank, size, in[MANY][MOST], out[MANY][MOST];
static MPI_Request requests[MANY];

/* What a rank brings to a collective: each word tells whose it is. */
static int word(int from, int which, int n) {
    return from * 10000 + which * 100 + n % 97;
}

static void begin(MPI_Comm comm, int which, int n) {
    int root = which % size, *mine = in[which], *into = out[which];
    MPI_Request *request = &requests[which];
    for (int i = 0; i < MOST; i++) {
        mine[i] = word(rank, which, i);
        into[i] = which % 8 == 0 && rank == root ? mine[i] : -1;
    }
    switch (which % 8) {
    case 0:
        MPI_Ibcast(into, n, MPI_INT, root, comm, request);
        break;
    case 1:
        MPI_Iallreduce(mine, into, n, MPI_INT, MPI_MAX, comm, request);
        break;
    case 2:
        MPI_Ialltoall(mine, n, MPI_INT, into, n, MPI_INT, comm, request);
        break;
    case 3:
        MPI_Igather(mine, n, MPI_INT, into, n, MPI_INT, root, comm, request);
        break;
    case 4:
        MPI_Ibarrier(comm, request);
        break;
    case 5:
        MPI_Iscan(mine, into, n, MPI_INT, MPI_SUM, comm, request);
        break;
    case 6:
        MPI_Ireduce_scatter_block(mine, into, n, MPI_INT, MPI_SUM, comm, request);
        break;
    case 7:
        MPI_Iscatter(mine, n, MPI_INT, into, n, MPI_INT, root, comm, request);
        break;
    }
}

static void check(int which, int n) {
    int root = which % size, *got = out[which], ranks = size * (size - 1) / 2;
    for (int i = 0; i < n; i++) {
        switch (which % 8) {
        case 0:
            CHECK(got[i] == word(root, which, i));
            break;
        case 1:
            CHECK(got[i] == word(size - 1, which, i));
            break;
        case 2:
        case 3:
            for (int r = 0; r < size && (which % 8 == 2 || rank == root); r++) {
                int at = which % 8 == 2 ? rank * n + i : i;
                CHECK(got[r * n + i] == word(r, which, at));
            }
            break;
        case 5:
            CHECK(got[i] == (rank + 1) * word(0, which, i) + 10000 * (rank * (rank + 1) / 2));
            break;
        case 6:
            CHECK(got[i] == size * word(0, which, rank * n + i) + 10000 * ranks);
            break;
        case 7:
            CHECK(got[i] == word(root, which, rank * n + i));
            break;
        }
    }
}

static void storm(MPI_Comm comm, int round) {
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    for (int k = 0; k < MANY; k++) {
        begin(comm, k, k * 7 % 20);
        if (k % 13 == round) {
            int got, left = (rank + size - 1) % size;
            MPI_Sendrecv(&rank, 1, MPI_INT, (rank + 1) % size, k, &got, 1, MPI_INT, left, k, comm,
                         MPI_STATUS_IGNORE);
            CHECK(got == left);
        }
        if (k % 17 == 5) {
            int one = 1, sum;
            MPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, comm);
            CHECK(sum == size);
        }
    }
    for (int left = MANY, k = 0; left > 0; k++) {
        int which = (k * 7 + rank * 13) % MANY, count = 1, some[MANY];
        if (round == 0) {
            MPI_Wait(&requests[which], MPI_STATUS_IGNORE);
        } else if (round == 1) {
            MPI_Waitany(MANY, requests, &which, MPI_STATUS_IGNORE);
        } else {
            MPI_Waitsome(MANY, requests, &count, some, MPI_STATUSES_IGNORE);
        }
        left -= count;
    }
    for (int k = 0; k < MANY; k++) {
        CHECK(requests[k] == MPI_REQUEST_NULL);
        check(k, k * 7 % 20);
    }
}

/* Who asks for less than the root has is told so, and everybody else gets what is due. */
static void lengths(MPI_Comm comm) {
    int all[64], less = size / 2;
    for (int i = 0; i < 64; i++) {
        all[i] = rank == 0 ? i : -1;
    }
    if (rank == less && size > 1) {
        FAILS(MPI_ERR_TRUNCATE, MPI_Bcast(all, 2, MPI_INT, 0, comm));
    } else {
        CHECK(MPI_Bcast(all, 4, MPI_INT, 0, comm) == MPI_SUCCESS && all[3] == 3);
    }
    int own[4] = {-1, -1, -1, -1}, each[128];
    for (int i = 0; i < 128; i++) {
        each[i] = i;
    }
    if (rank == less && size > 1) {
        FAILS(MPI_ERR_TRUNCATE, MPI_Scatter(each, 4, MPI_INT, own, 2, MPI_INT, 0, comm));
    } else {
        CHECK(MPI_Scatter(each, 4, MPI_INT, own, 4, MPI_INT, 0, comm) == MPI_SUCCESS);
        CHECK(own[0] == rank * 4 && own[3] == rank * 4 + 3);
    }
    MPI_Barrier(comm);
}

int main(int argc, char **argv) {
    MPI_Comm half;
    MPI_Init(&argc, &argv);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_split(MPI_COMM_WORLD, rank % 2, -rank, &half);
    for (int round = 0; round < 3; round++) {
        storm(MPI_COMM_WORLD, round);
        storm(half, round);
        storm(MPI_COMM_SELF, round);
    }
    MPI_Comm_free(&half);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    lengths(MPI_COMM_WORLD);
    MPI_Finalize();
    return 0;
}
