/* What tests of communicators share. */
#ifndef COMM_SHARED_H
#define COMM_SHARED_H

#include "check.h"

static inline int comm_size(MPI_Comm comm) {
    int size = -1;
    CHECK(MPI_Comm_size(comm, &size) == MPI_SUCCESS);
    return size;
}

static inline int comm_rank(MPI_Comm comm) {
    int rank = -1;
    CHECK(MPI_Comm_rank(comm, &rank) == MPI_SUCCESS);
    return rank;
}

static inline int comm_compare(MPI_Comm one, MPI_Comm other) {
    int result = -1;
    CHECK(MPI_Comm_compare(one, other, &result) == MPI_SUCCESS);
    return result;
}

/* A number goes around: fails when ranks of the communicator are not who they say, or when messages
 * of another come in. */
static inline void around(MPI_Comm comm, int mark) {
    int rank = comm_rank(comm), size = comm_size(comm), sum = 0, sent;
    MPI_Request request;
    if (rank > 0) MPI_Recv(&sum, 1, MPI_INT, rank - 1, 3, comm, MPI_STATUS_IGNORE);
    sent = sum + rank + mark;
    MPI_Isend(&sent, 1, MPI_INT, (rank + 1) % size, 3, comm, &request);
    if (rank == 0) {
        MPI_Recv(&sum, 1, MPI_INT, size - 1, 3, comm, MPI_STATUS_IGNORE);
        CHECK(sum == size * (size - 1) / 2 + size * mark);
    }
    MPI_Wait(&request, MPI_STATUS_IGNORE);
}

/* Every rank of one side swaps a number with one of the other. */
static inline void across(MPI_Comm inter, int mark) {
    int rank = comm_rank(inter), size = comm_size(inter), there, got;
    CHECK(MPI_Comm_remote_size(inter, &there) == MPI_SUCCESS);
    for (int i = 0; i < there; i++) {
        int sent = mark * 10000 + rank * 100 + i;
        MPI_Send(&sent, 1, MPI_INT, i, 4, inter);
    }
    for (int i = 0; i < there; i++) {
        MPI_Recv(&got, 1, MPI_INT, i, 4, inter, MPI_STATUS_IGNORE);
        CHECK(got == mark * 10000 + i * 100 + rank);
    }
    (void)size;
}

#endif
