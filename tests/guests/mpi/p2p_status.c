/* What a status says, and what a program may make it say. */
#include "p2p.h"

int main(int argc, char **argv) {
    begin(&argc, &argv);
    char bytes[64] = {0}, in[64];
    int count = -1, value = -1, flag = -1;
    MPI_Count large = -1;
    MPI_Status status, copy;
    CHECK(sizeof(MPI_Status) == 32);
    /* Whole elements or none that can be counted. */
    for (int n = 0; n <= 24; n++) {
        OK(MPI_Send(bytes, n, MPI_CHAR, rank, n, MPI_COMM_WORLD));
        OK(MPI_Recv(in, 64, MPI_CHAR, rank, n, MPI_COMM_WORLD, &status));
        OK(MPI_Get_count(&status, MPI_CHAR, &count));
        CHECK(count == n);
        OK(MPI_Get_count(&status, MPI_INT, &count));
        CHECK(count == (n % 4 ? MPI_UNDEFINED : n / 4));
        OK(MPI_Get_count_c(&status, MPI_DOUBLE, &large));
        CHECK(large == (n % 8 ? MPI_UNDEFINED : n / 8));
        OK(MPI_Get_elements(&status, MPI_INT, &count));
        CHECK(count == (n % 4 ? MPI_UNDEFINED : n / 4));
        OK(MPI_Get_elements_x(&status, MPI_INT, &large));
        CHECK(large == (n % 4 ? MPI_UNDEFINED : n / 4));
        OK(MPI_Get_elements_c(&status, MPI_CHAR, &large));
        CHECK(large == n);
        copy = status;
        OK(MPI_Get_count(&copy, MPI_CHAR, &count));
        CHECK(count == n);
    }
    OK(MPI_Status_set_elements(&status, MPI_INT, 5));
    OK(MPI_Get_elements(&status, MPI_INT, &count));
    CHECK(count == 5);
    OK(MPI_Get_count(&status, MPI_CHAR, &count));
    CHECK(count == 20);
    /* More than an `int` holds. */
    OK(MPI_Status_set_elements_x(&status, MPI_CHAR, (MPI_Count)5 << 30));
    OK(MPI_Get_count(&status, MPI_CHAR, &count));
    CHECK(count == MPI_UNDEFINED);
    OK(MPI_Get_count_c(&status, MPI_CHAR, &large));
    CHECK(large == (MPI_Count)5 << 30);
    OK(MPI_Get_count(&status, MPI_DOUBLE, &count));
    CHECK(count == 5 << 27);
    OK(MPI_Status_set_elements_c(&status, MPI_DOUBLE, 3));
    OK(MPI_Get_elements_x(&status, MPI_CHAR, &large));
    CHECK(large == 24);
    FAILS(MPI_ERR_COUNT, MPI_Status_set_elements(&status, MPI_INT, -1));
    FAILS(MPI_ERR_COUNT, MPI_Status_set_elements_x(&status, MPI_DOUBLE, (MPI_Count)1 << 62));
    for (int on = 1; on >= 0; on--) {
        OK(MPI_Status_set_cancelled(&status, on));
        OK(MPI_Test_cancelled(&status, &flag));
        CHECK(flag == on);
    }
    OK(MPI_Status_set_source(&status, 11));
    OK(MPI_Status_set_tag(&status, 12));
    OK(MPI_Status_set_error(&status, 13));
    CHECK(status.MPI_SOURCE == 11 && status.MPI_TAG == 12 && status.MPI_ERROR == 13);
    OK(MPI_Status_get_source(&status, &value));
    CHECK(value == 11);
    OK(MPI_Status_get_tag(&status, &value));
    CHECK(value == 12);
    OK(MPI_Status_get_error(&status, &value));
    CHECK(value == 13);
    FAILS(MPI_ERR_ARG, MPI_Status_get_tag(MPI_STATUS_IGNORE, &value));
    OK(MPI_Finalize());
    return 0;
}
