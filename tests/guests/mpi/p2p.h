/* What tests of messages share: errors are returned, `rank` and `size` are known. */
#ifndef P2P_H
#define P2P_H

#include "check.h"

static int rank, size;

static inline void begin(int *argc, char ***argv) {
    CHECK(MPI_Init(argc, argv) == MPI_SUCCESS);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
}

/* Call it as OK(MPI_...). */
#define OK(call) CHECK((call) == MPI_SUCCESS)

/* All ranks have come here; of messages alone. */
static inline void meet(void) {
    int token = 0;
    if (rank > 0) {
        OK(MPI_Send(&token, 1, MPI_INT, 0, 9999, MPI_COMM_WORLD));
        OK(MPI_Recv(&token, 1, MPI_INT, 0, 9998, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
        return;
    }
    for (int from = 1; from < size; from++) {
        OK(MPI_Recv(&token, 1, MPI_INT, from, 9999, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
    }
    for (int to = 1; to < size; to++) {
        OK(MPI_Send(&token, 1, MPI_INT, to, 9998, MPI_COMM_WORLD));
    }
}

/* Whether a status is the empty one. */
static inline int is_empty(MPI_Status *status) {
    int count = -1, flag = -1;
    MPI_Get_count(status, MPI_INT, &count);
    MPI_Test_cancelled(status, &flag);
    return status->MPI_SOURCE == MPI_ANY_SOURCE && status->MPI_TAG == MPI_ANY_TAG &&
           status->MPI_ERROR == MPI_SUCCESS && count == 0 && flag == 0;
}

#endif
