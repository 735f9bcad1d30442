/* Copies that are complete later; hints; what a new communicator takes over. */
#include "comm_shared.h"

static int rank, size, calls;

static int copy(MPI_Comm comm, int key, void *state, void *in, void *out, int *flag) {
    *(void **)out = in;
    *flag = 1;
    calls++;
    return MPI_SUCCESS;
}

static void copies(void) {
    MPI_Comm one, two, three, inter, mine;
    MPI_Request requests[3];
    int key, flag, mark, got;
    void *value;
    MPI_Comm_create_keyval(copy, MPI_COMM_NULL_DELETE_FN, &key, NULL);
    MPI_Comm_set_attr(MPI_COMM_WORLD, key, &mark);
    CHECK(MPI_Comm_idup(MPI_COMM_WORLD, &one, &requests[0]) == MPI_SUCCESS);
    CHECK(calls == 1 && one != MPI_COMM_NULL);
    /* what changes after the call is not in the copy */
    MPI_Comm_set_attr(MPI_COMM_WORLD, key, NULL);
    CHECK(MPI_Wait(&requests[0], MPI_STATUS_IGNORE) == MPI_SUCCESS);
    MPI_Comm_get_attr(one, key, &value, &flag);
    CHECK(flag == 1 && value == &mark);
    CHECK(comm_compare(one, MPI_COMM_WORLD) == MPI_CONGRUENT);
    around(one, 1);
    /* several at once, on one and on two communicators, with messages meanwhile */
    MPI_Comm_idup(one, &two, &requests[0]);
    MPI_Comm_idup(MPI_COMM_WORLD, &three, &requests[1]);
    MPI_Comm_delete_attr(MPI_COMM_WORLD, key);
    around(one, 5);
    CHECK(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
    around(three, 2);
    around(two, 3);
    MPI_Comm_free(&two);
    MPI_Comm_free(&three);
    /* a rank is late: the others go on, and it is complete when all have come */
    if (rank == 0 && size > 1)
        for (int i = 1; i < size; i++) MPI_Recv(&got, 1, MPI_INT, i, 8, one, MPI_STATUS_IGNORE);
    MPI_Comm_idup(MPI_COMM_WORLD, &two, &requests[0]);
    if (rank > 0) {
        MPI_Test(&requests[0], &flag, MPI_STATUS_IGNORE);
        CHECK(!flag);
        MPI_Send(&rank, 1, MPI_INT, 0, 8, one);
    }
    MPI_Wait(&requests[0], MPI_STATUS_IGNORE);
    around(two, 4);
    MPI_Comm_free(&two);
    if (size > 1) {
        MPI_Comm_split(MPI_COMM_WORLD, rank == 0, rank, &mine);
        MPI_Intercomm_create(mine, 0, MPI_COMM_WORLD, rank ? 0 : 1, 1, &inter);
        MPI_Comm_idup(inter, &two, &requests[0]);
        MPI_Wait(&requests[0], MPI_STATUS_IGNORE);
        across(two, 3);
        CHECK(comm_compare(two, inter) == MPI_CONGRUENT);
        MPI_Comm_free(&inter);
        MPI_Comm_free(&two);
        MPI_Comm_free(&mine);
    }
    MPI_Comm_free(&one);
    MPI_Comm_free_keyval(&key);
}

static int hint(MPI_Comm comm, const char *key, const char *expected) {
    MPI_Info info;
    int flag;
    char value[64];
    CHECK(MPI_Comm_get_info(comm, &info) == MPI_SUCCESS);
    MPI_Info_get(info, key, 63, value, &flag);
    CHECK(!flag || strcmp(value, expected) == 0);
    MPI_Info_free(&info);
    return flag;
}

static void hints(void) {
    MPI_Info info;
    MPI_Comm one, two;
    MPI_Request request;
    MPI_Info_create(&info);
    MPI_Info_set(info, "mpi_assert_no_any_tag", "true");
    CHECK(MPI_Comm_dup_with_info(MPI_COMM_WORLD, info, &one) == MPI_SUCCESS);
    CHECK(hint(one, "mpi_assert_no_any_tag", "true"));
    /* a plain copy has no hints of the other */
    MPI_Comm_dup(one, &two);
    CHECK(!hint(two, "mpi_assert_no_any_tag", "true"));
    MPI_Comm_set_info(two, info);
    CHECK(hint(two, "mpi_assert_no_any_tag", "true"));
    MPI_Comm_free(&two);
    CHECK(MPI_Comm_idup_with_info(MPI_COMM_WORLD, info, &two, &request) == MPI_SUCCESS);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    CHECK(hint(two, "mpi_assert_no_any_tag", "true"));
    MPI_Comm_free(&two);
    MPI_Comm_free(&one);
    /* a part of the machine by name */
    MPI_Info_set(info, "mpi_hw_resource_type", "mpi_shared_memory");
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_HW_GUIDED, 0, info, &one);
    CHECK(comm_compare(one, MPI_COMM_WORLD) == MPI_CONGRUENT);
    MPI_Comm_free(&one);
    MPI_Info_set(info, "mpi_hw_resource_type", "no such thing");
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_HW_GUIDED, 0, info, &one);
    CHECK(one == MPI_COMM_NULL);
    MPI_Info_free(&info);
}

static void handler_of(MPI_Comm comm, MPI_Errhandler expected) {
    MPI_Errhandler handler;
    MPI_Comm_get_errhandler(comm, &handler);
    CHECK(handler == expected);
    MPI_Errhandler_free(&handler);
}

static void handlers(void) {
    MPI_Comm one, two;
    MPI_Group group;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_dup(MPI_COMM_WORLD, &one);
    handler_of(one, MPI_ERRORS_RETURN);
    MPI_Comm_split(one, 0, 0, &two);
    handler_of(two, MPI_ERRORS_RETURN);
    MPI_Comm_free(&two);
    MPI_Comm_group(one, &group);
    MPI_Comm_create_from_group(group, "x", MPI_INFO_NULL, MPI_ERRORS_ABORT, &two);
    handler_of(two, MPI_ERRORS_ABORT);
    MPI_Comm_free(&two);
    MPI_Comm_free(&one);
    MPI_Group_free(&group);
}

static void sets(void) {
    MPI_Session session;
    MPI_Group all, self;
    MPI_Comm comm;
    int n;
    MPI_Session_init(MPI_INFO_NULL, MPI_ERRORS_RETURN, &session);
    CHECK(MPI_Group_from_session_pset(session, "mpi://WORLD", &all) == MPI_SUCCESS);
    CHECK(MPI_Group_from_session_pset(session, "mpi://SELF", &self) == MPI_SUCCESS);
    MPI_Group_size(all, &n);
    CHECK(n == size);
    MPI_Group_size(self, &n);
    CHECK(n == 1);
    MPI_Comm_create_from_group(all, "of a session", MPI_INFO_NULL, MPI_ERRORS_RETURN, &comm);
    around(comm, 1);
    MPI_Comm_free(&comm);
    MPI_Group_free(&all);
    MPI_Group_free(&self);
    MPI_Session_finalize(&session);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    copies();
    hints();
    handlers();
    sets();
    MPI_Finalize();
    return 0;
}
