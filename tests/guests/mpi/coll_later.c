/* Non-blocking and persistent collectives: many under way, mixed with messages, restarted. */
#include "check.h"

#define MANY 20
static int rank, size;

static void many(void) {
    MPI_Request requests[3 * MANY];
    static int sums[MANY], mine[MANY], from[MANY], big[2][30000];
    int right = (rank + 1) % size, left = (rank + size - 1) % size, came = -1;
    for (int i = 0; i < MANY; i++) {
        mine[i] = rank + i;
        from[i] = rank == i % size ? i * 7 : -1;
        MPI_Iallreduce(&mine[i], &sums[i], 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD, &requests[3 * i]);
        MPI_Ibcast(&from[i], 1, MPI_INT, i % size, MPI_COMM_WORLD, &requests[3 * i + 1]);
        MPI_Ibarrier(MPI_COMM_WORLD, &requests[3 * i + 2]);
    }
    /* Messages of the same communicator with the same tags are others. */
    MPI_Sendrecv(&rank, 1, MPI_INT, right, 0, &came, 1, MPI_INT, left, 0, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
    CHECK(came == left);
    for (int i = 0; i < 30000; i++) {
        big[0][i] = rank ^ i;
    }
    MPI_Request large;
    MPI_Iallreduce(big[0], big[1], 30000, MPI_INT, MPI_SUM, MPI_COMM_WORLD, &large);
    MPI_Waitall(3 * MANY, requests, MPI_STATUSES_IGNORE);
    for (int i = 0; i < MANY; i++) {
        CHECK(requests[3 * i] == MPI_REQUEST_NULL);
        CHECK(sums[i] == size * (size - 1) / 2 + size * i && from[i] == i * 7);
    }
    int done = 0;
    while (!done) {
        MPI_Test(&large, &done, MPI_STATUS_IGNORE);
    }
    for (int i = 0; i < 30000; i += 7) {
        int due = 0;
        for (int r = 0; r < size; r++) {
            due += r ^ i;
        }
        CHECK(big[1][i] == due);
    }
}

/* The host goes on while the program computes: nobody is in a call when the last rank comes. */
static void meanwhile(void) {
    MPI_Request request;
    int one = 1, sum = 0, done = 0;
    MPI_Iallreduce(&one, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD, &request);
    MPI_Barrier(MPI_COMM_WORLD);
    double until = MPI_Wtime() + 30;
    while (*(volatile int *)&sum != size && MPI_Wtime() < until) {
    }
    CHECK(sum == size);
    while (!done) {
        MPI_Request_get_status(request, &done, MPI_STATUS_IGNORE);
    }
    MPI_Wait(&request, MPI_STATUS_IGNORE);
}

static void persistent(void) {
    enum { ROUNDS = 5 };
    int mine[2], sum[2], list[64], value;
    MPI_Request requests[4];
    MPI_Allreduce_init(&mine[0], &sum[0], 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD, MPI_INFO_NULL,
                       &requests[0]);
    MPI_Scan_init(&mine[1], &sum[1], 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD, MPI_INFO_NULL,
                  &requests[1]);
    MPI_Gather_init(&rank, 1, MPI_INT, list, 1, MPI_INT, 0, MPI_COMM_WORLD, MPI_INFO_NULL,
                    &requests[2]);
    MPI_Bcast_init(&value, 1, MPI_INT, size - 1, MPI_COMM_WORLD, MPI_INFO_NULL, &requests[3]);
    for (int round = 0; round < ROUNDS; round++) {
        mine[0] = mine[1] = rank * round;
        value = rank == size - 1 ? round : -1;
        /* Each rank starts them in another order. */
        for (int i = 0; i < 4; i++) {
            MPI_Start(&requests[(i + rank) % 4]);
        }
        if (round == 2) {
            MPI_Barrier(MPI_COMM_WORLD);
        }
        MPI_Waitall(4, requests, MPI_STATUSES_IGNORE);
        CHECK(sum[0] == round * size * (size - 1) / 2);
        CHECK(sum[1] == round * rank * (rank + 1) / 2);
        CHECK(value == round);
        for (int r = 0; r < size && rank == 0; r++) {
            CHECK(list[r] == r);
            list[r] = -1;
        }
    }
    for (int i = 0; i < 4; i++) {
        CHECK(requests[i] != MPI_REQUEST_NULL);
        MPI_Request_free(&requests[i]);
        CHECK(requests[i] == MPI_REQUEST_NULL);
    }
}

static int calls;

static void add(void *in, void *inout, int *len, MPI_Datatype *type) {
    (void)type;
    calls++;
    for (int i = 0; i < *len; i++) {
        ((int *)inout)[i] += ((int *)in)[i];
    }
}

/* Operations of the program run in waits and tests. */
static void own(void) {
    MPI_Op op;
    MPI_Request requests[2];
    int mine = rank + 1, sums[2] = {0, 0}, done = 0;
    MPI_Op_create(add, 1, &op);
    MPI_Iallreduce(&mine, &sums[0], 1, MPI_INT, op, MPI_COMM_WORLD, &requests[0]);
    MPI_Ireduce(&mine, &sums[1], 1, MPI_INT, op, 0, MPI_COMM_WORLD, &requests[1]);
    MPI_Op_free(&op);
    while (!done) {
        MPI_Test(&requests[0], &done, MPI_STATUS_IGNORE);
    }
    MPI_Wait(&requests[1], MPI_STATUS_IGNORE);
    CHECK(sums[0] == size * (size + 1) / 2);
    CHECK(sums[1] == (rank == 0 ? sums[0] : 0));
    /* By whichever ranks; each sum takes as many calls. */
    MPI_Allreduce(&calls, &done, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    CHECK(done >= 2 * (size - 1));
}

/* All ranks do this at once, each with itself. */
static void alone(void) {
    for (int i = 0; i < 300; i++) {
        int mine = rank * 1000 + i, sum = -1, from = -1;
        MPI_Allreduce(&mine, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_SELF);
        MPI_Allgather(&mine, 1, MPI_INT, &from, 1, MPI_INT, MPI_COMM_SELF);
        CHECK(sum == mine && from == mine);
    }
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    alone();
    many();
    meanwhile();
    persistent();
    own();
    MPI_Finalize();
    return 0;
}
