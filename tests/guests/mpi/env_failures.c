/* A rank ends without MPI_Finalize; the others go on without it. */
#include "check.h"
#include <mpi-ext.h>

int main(int argc, char **argv) {
    int rank, size, number = 0, flag, acked;
    MPI_Comm left, doubled;
    MPI_Group group;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    /* Not before all others can handle it. */
    if (rank == 1) {
        for (int other = 0; other < size - 1; other++) {
            MPI_Recv(NULL, 0, MPI_INT, MPI_ANY_SOURCE, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        }
        return 0;
    }
    MPI_Send(NULL, 0, MPI_INT, 1, 1, MPI_COMM_WORLD);
    FAILS(MPIX_ERR_PROC_FAILED, MPI_Recv(&number, 1, MPI_INT, 1, 0, MPI_COMM_WORLD,
                                         MPI_STATUS_IGNORE));
    CHECK(MPIX_Comm_get_failed(MPI_COMM_WORLD, &group) == MPI_SUCCESS);
    CHECK(MPI_Group_size(group, &number) == MPI_SUCCESS && number == 1);
    MPI_Group_free(&group);
    flag = 3;
    FAILS(MPIX_ERR_PROC_FAILED, MPIX_Comm_agree(MPI_COMM_WORLD, &flag));
    CHECK(flag == 3);
    CHECK(MPIX_Comm_ack_failed(MPI_COMM_WORLD, 1, &acked) == MPI_SUCCESS && acked == 1);
    flag = rank == 0 ? 5 : 6;
    CHECK(MPIX_Comm_agree(MPI_COMM_WORLD, &flag) == MPI_SUCCESS);
    CHECK(flag == (size == 2 ? 5 : 4));
    CHECK(MPIX_Comm_revoke(MPI_COMM_WORLD) == MPI_SUCCESS);
    CHECK(MPIX_Comm_is_revoked(MPI_COMM_WORLD, &flag) == MPI_SUCCESS && flag);
    FAILS(MPIX_ERR_REVOKED, MPI_Recv(&number, 1, MPI_INT, MPI_ANY_SOURCE, 0, MPI_COMM_WORLD,
                                     MPI_STATUS_IGNORE));
    CHECK(MPIX_Comm_shrink(MPI_COMM_WORLD, &left) == MPI_SUCCESS);
    int of, now;
    CHECK(MPI_Comm_size(left, &of) == MPI_SUCCESS && of == size - 1);
    CHECK(MPI_Comm_rank(left, &now) == MPI_SUCCESS && now == (rank > 1 ? rank - 1 : 0));
    /* What is left works, and can be worked with. */
    CHECK(MPI_Comm_dup(left, &doubled) == MPI_SUCCESS);
    int sum = 0;
    CHECK(MPI_Allreduce(&now, &sum, 1, MPI_INT, MPI_SUM, doubled) == MPI_SUCCESS);
    CHECK(sum == of * (of - 1) / 2);
    MPI_Comm_free(&doubled);
    MPI_Comm_free(&left);
    MPI_Finalize();
    return 0;
}
