/* Errors: handlers and their lifetimes, classes, codes and strings; any number of ranks. */
#include "p2p.h"

static MPI_Comm seen_comm;
static int calls, seen_code, inner_calls, inner_code;
static MPI_Comm inner;

static void handler(MPI_Comm *comm, int *code, ...) {
    calls++;
    seen_comm = *comm;
    seen_code = *code;
}

static void other_handler(MPI_Comm *comm, int *code, ...) {
    (void)comm;
    (void)code;
    calls += 100;
}

static void inner_handler(MPI_Comm *comm, int *code, ...) {
    CHECK(*comm == inner);
    inner_calls++;
    inner_code = *code;
}

/* Makes an error itself, on another communicator; its own arguments are as they were then. */
static void outer_handler(MPI_Comm *comm, int *code, ...) {
    MPI_Comm about = *comm;
    int was = *code, n = 0;
    calls++;
    CHECK(MPI_Send(&n, 1, MPI_INT, 0, -5, inner) != MPI_SUCCESS);
    CHECK(*comm == about && *code == was);
    seen_code = *code;
}

static int class_of(int code) {
    int class = -1;
    CHECK(MPI_Error_class(code, &class) == MPI_SUCCESS);
    return class;
}

static int wrong(MPI_Comm comm) {
    int n = 0;
    return MPI_Send(&n, 1, MPI_INT, 0, -3, comm);
}

/* Which handler is called, with which communicator. */
static void lifetimes(void) {
    MPI_Comm comm, copy;
    MPI_Errhandler one, two, got;
    OK(MPI_Comm_dup(MPI_COMM_WORLD, &comm));
    OK(MPI_Comm_get_errhandler(comm, &got));
    CHECK(got == MPI_ERRORS_RETURN);
    OK(MPI_Errhandler_free(&got));
    CHECK(got == MPI_ERRHANDLER_NULL);
    OK(MPI_Comm_create_errhandler(handler, &one));
    OK(MPI_Comm_create_errhandler(handler, &two));
    CHECK(one != two && one != MPI_ERRHANDLER_NULL);
    OK(MPI_Comm_set_errhandler(comm, two));
    OK(MPI_Comm_get_errhandler(comm, &got));
    CHECK(got == two);
    OK(MPI_Errhandler_free(&got));
    OK(MPI_Errhandler_free(&two));
    OK(MPI_Errhandler_free(&one));
    calls = 0;
    CHECK(class_of(wrong(comm)) == MPI_ERR_TAG);
    CHECK(calls == 1 && seen_comm == comm && class_of(seen_code) == MPI_ERR_TAG);
    /* The last reference is the one that the call gives. */
    OK(MPI_Comm_get_errhandler(comm, &got));
    OK(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN));
    CHECK(wrong(comm) != MPI_SUCCESS && calls == 1);
    OK(MPI_Comm_set_errhandler(comm, got));
    OK(MPI_Errhandler_free(&got));
    CHECK(wrong(comm) != MPI_SUCCESS && calls == 2);
    /* Copies have the handler that there was. */
    OK(MPI_Comm_dup(comm, &copy));
    OK(MPI_Comm_create_errhandler(other_handler, &one));
    OK(MPI_Comm_set_errhandler(comm, one));
    OK(MPI_Errhandler_free(&one));
    CHECK(wrong(copy) != MPI_SUCCESS && calls == 3 && seen_comm == copy);
    CHECK(wrong(comm) != MPI_SUCCESS && calls == 103);
    OK(MPI_Comm_free(&comm));
    CHECK(wrong(copy) != MPI_SUCCESS && calls == 104);
    OK(MPI_Comm_split(copy, 0, rank, &comm));
    CHECK(wrong(comm) != MPI_SUCCESS && calls == 105 && seen_comm == comm);
    OK(MPI_Comm_free(&copy));
    OK(MPI_Comm_free(&comm));
}

/* Called by the program itself. */
static void called(void) {
    MPI_Comm comm;
    MPI_Errhandler one;
    int class, code;
    OK(MPI_Comm_dup(MPI_COMM_SELF, &comm));
    OK(MPI_Comm_call_errhandler(comm, MPI_ERR_OTHER));
    OK(MPI_Comm_create_errhandler(handler, &one));
    OK(MPI_Comm_set_errhandler(comm, one));
    OK(MPI_Add_error_class(&class));
    OK(MPI_Add_error_code(class, &code));
    calls = 0;
    OK(MPI_Comm_call_errhandler(comm, code));
    CHECK(calls == 1 && seen_code == code && seen_comm == comm);
    OK(MPI_Comm_call_errhandler(comm, MPI_SUCCESS));
    CHECK(calls == 2 && seen_code == MPI_SUCCESS);
    OK(MPI_Errhandler_free(&one));
    OK(MPI_Comm_free(&comm));
    OK(MPI_Remove_error_code(code));
    OK(MPI_Remove_error_class(class));
}

/* A handler may call MPI, and that may go wrong too. */
static void nested(void) {
    MPI_Comm comm;
    MPI_Errhandler one, two;
    OK(MPI_Comm_dup(MPI_COMM_SELF, &comm));
    OK(MPI_Comm_dup(MPI_COMM_SELF, &inner));
    OK(MPI_Comm_create_errhandler(outer_handler, &one));
    OK(MPI_Comm_create_errhandler(inner_handler, &two));
    OK(MPI_Comm_set_errhandler(comm, one));
    OK(MPI_Comm_set_errhandler(inner, two));
    calls = 0;
    int n;
    CHECK(class_of(MPI_Recv(&n, 1, MPI_INT, 77, 0, comm, MPI_STATUS_IGNORE)) == MPI_ERR_RANK);
    CHECK(calls == 1 && class_of(seen_code) == MPI_ERR_RANK);
    CHECK(inner_calls == 1 && class_of(inner_code) == MPI_ERR_TAG);
    OK(MPI_Errhandler_free(&one));
    OK(MPI_Errhandler_free(&two));
    OK(MPI_Comm_free(&comm));
    OK(MPI_Comm_free(&inner));
}

/* An error of a request goes to the communicator's handler, in the call that sees it. */
static void of_requests(void) {
    MPI_Comm comm;
    MPI_Errhandler one;
    MPI_Request requests[2];
    MPI_Status statuses[2];
    int pair[2] = {1, 2}, single[2] = {0, 0};
    OK(MPI_Comm_dup(MPI_COMM_SELF, &comm));
    OK(MPI_Comm_create_errhandler(handler, &one));
    OK(MPI_Comm_set_errhandler(comm, one));
    OK(MPI_Errhandler_free(&one));
    calls = 0;
    OK(MPI_Irecv(&single[0], 1, MPI_INT, 0, 1, comm, &requests[0]));
    OK(MPI_Send(pair, 2, MPI_INT, 0, 1, comm));
    CHECK(calls == 0);
    CHECK(class_of(MPI_Wait(&requests[0], &statuses[0])) == MPI_ERR_TRUNCATE);
    CHECK(calls == 1 && seen_comm == comm && class_of(seen_code) == MPI_ERR_TRUNCATE);
    CHECK(requests[0] == MPI_REQUEST_NULL);
    OK(MPI_Irecv(&single[0], 1, MPI_INT, 0, 1, comm, &requests[0]));
    OK(MPI_Irecv(&single[1], 1, MPI_INT, 0, 2, comm, &requests[1]));
    OK(MPI_Send(pair, 2, MPI_INT, 0, 1, comm));
    OK(MPI_Send(pair, 1, MPI_INT, 0, 2, comm));
    CHECK(class_of(MPI_Waitall(2, requests, statuses)) == MPI_ERR_IN_STATUS);
    CHECK(calls == 2 && class_of(seen_code) == MPI_ERR_IN_STATUS);
    CHECK(class_of(statuses[0].MPI_ERROR) == MPI_ERR_TRUNCATE);
    CHECK(statuses[1].MPI_ERROR == MPI_SUCCESS || statuses[1].MPI_ERROR == MPI_ERR_PENDING);
    if (requests[1] != MPI_REQUEST_NULL) OK(MPI_Wait(&requests[1], MPI_STATUS_IGNORE));
    CHECK(single[1] == 1);
    /* The communicator is free before its request has failed. */
    OK(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN));
    OK(MPI_Irecv(&single[0], 1, MPI_INT, 0, 1, comm, &requests[0]));
    OK(MPI_Send(pair, 2, MPI_INT, 0, 1, comm));
    OK(MPI_Comm_free(&comm));
    CHECK(class_of(MPI_Wait(&requests[0], MPI_STATUS_IGNORE)) == MPI_ERR_TRUNCATE);
}

static int last_used(void) {
    int *value, flag;
    OK(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_LASTUSEDCODE, &value, &flag));
    CHECK(flag);
    return *value;
}

static void classes(void) {
    int before = last_used(), class, other, code[20], length;
    char text[MPI_MAX_ERROR_STRING], longest[MPI_MAX_ERROR_STRING];
    CHECK(before >= MPI_ERR_LASTCODE);
    OK(MPI_Add_error_class(&class));
    CHECK(class > MPI_ERR_LASTCODE && class > before);
    CHECK(last_used() >= class);
    CHECK(class_of(class) == class);
    OK(MPI_Error_string(class, text, &length));
    CHECK(length == (int)strlen(text));
    for (int i = 0; i < 20; i++) {
        OK(MPI_Add_error_code(class, &code[i]));
        CHECK(class_of(code[i]) == class && code[i] > MPI_ERR_LASTCODE && code[i] != class);
        CHECK(last_used() >= code[i]);
        for (int k = 0; k < i; k++) CHECK(code[k] != code[i]);
    }
    OK(MPI_Add_error_class(&other));
    CHECK(other != class && class_of(other) == other);
    OK(MPI_Add_error_string(class, "a class"));
    OK(MPI_Add_error_string(code[3], "a code"));
    OK(MPI_Error_string(class, text, &length));
    CHECK(strcmp(text, "a class") == 0 && length == 7);
    OK(MPI_Error_string(code[3], text, &length));
    CHECK(strcmp(text, "a code") == 0 && length == 6);
    /* It may be changed, and be as long as there is room. */
    memset(longest, 'x', sizeof longest);
    longest[MPI_MAX_ERROR_STRING - 1] = 0;
    OK(MPI_Add_error_string(code[3], longest));
    OK(MPI_Error_string(code[3], text, &length));
    CHECK(strcmp(text, longest) == 0 && length == MPI_MAX_ERROR_STRING - 1);
    /* A code may be of a class of the standard. */
    int known;
    OK(MPI_Add_error_code(MPI_ERR_TAG, &known));
    CHECK(class_of(known) == MPI_ERR_TAG && known > MPI_ERR_LASTCODE);
    OK(MPI_Add_error_string(known, "of tags"));
    OK(MPI_Error_string(known, text, &length));
    CHECK(strcmp(text, "of tags") == 0);
    /* All goes in the order that the standard asks for. */
    OK(MPI_Remove_error_string(known));
    OK(MPI_Remove_error_code(known));
    OK(MPI_Remove_error_string(code[3]));
    for (int i = 19; i >= 0; i--) OK(MPI_Remove_error_code(code[i]));
    OK(MPI_Remove_error_string(class));
    OK(MPI_Remove_error_class(class));
    OK(MPI_Remove_error_class(other));
    CHECK(last_used() >= MPI_ERR_LASTCODE);
    int again;
    OK(MPI_Add_error_class(&again));
    CHECK(again > MPI_ERR_LASTCODE && class_of(again) == again);
    OK(MPI_Remove_error_class(again));
}

/* Every class of the standard is its own, and says something. */
static void predefined(void) {
    int all[] = {MPI_SUCCESS, MPI_ERR_BUFFER, MPI_ERR_COUNT, MPI_ERR_TYPE, MPI_ERR_TAG,
        MPI_ERR_COMM, MPI_ERR_RANK, MPI_ERR_REQUEST, MPI_ERR_ROOT, MPI_ERR_GROUP, MPI_ERR_OP,
        MPI_ERR_TOPOLOGY, MPI_ERR_DIMS, MPI_ERR_ARG, MPI_ERR_UNKNOWN, MPI_ERR_TRUNCATE,
        MPI_ERR_OTHER, MPI_ERR_INTERN, MPI_ERR_IN_STATUS, MPI_ERR_PENDING, MPI_ERR_KEYVAL,
        MPI_ERR_NO_MEM, MPI_ERR_BASE, MPI_ERR_INFO_KEY, MPI_ERR_INFO_VALUE, MPI_ERR_INFO_NOKEY,
        MPI_ERR_SPAWN, MPI_ERR_PORT, MPI_ERR_SERVICE, MPI_ERR_NAME, MPI_ERR_WIN, MPI_ERR_SIZE,
        MPI_ERR_DISP, MPI_ERR_INFO, MPI_ERR_LOCKTYPE, MPI_ERR_ASSERT, MPI_ERR_RMA_CONFLICT,
        MPI_ERR_RMA_SYNC, MPI_ERR_RMA_RANGE, MPI_ERR_RMA_ATTACH, MPI_ERR_RMA_SHARED,
        MPI_ERR_RMA_FLAVOR, MPI_ERR_FILE, MPI_ERR_NOT_SAME, MPI_ERR_AMODE,
        MPI_ERR_UNSUPPORTED_DATAREP, MPI_ERR_UNSUPPORTED_OPERATION, MPI_ERR_NO_SUCH_FILE,
        MPI_ERR_FILE_EXISTS, MPI_ERR_BAD_FILE, MPI_ERR_ACCESS, MPI_ERR_NO_SPACE, MPI_ERR_QUOTA,
        MPI_ERR_READ_ONLY, MPI_ERR_FILE_IN_USE, MPI_ERR_DUP_DATAREP, MPI_ERR_CONVERSION,
        MPI_ERR_IO, MPI_ERR_PROC_ABORTED, MPI_ERR_VALUE_TOO_LARGE, MPI_ERR_SESSION,
        MPI_ERR_ERRHANDLER};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        char text[MPI_MAX_ERROR_STRING];
        int length = -1;
        if (all[i] != MPI_SUCCESS) CHECK(all[i] > MPI_SUCCESS && all[i] <= MPI_ERR_LASTCODE);
        CHECK(class_of(all[i]) == all[i]);
        OK(MPI_Error_string(all[i], text, &length));
        CHECK(length > 0 && length < MPI_MAX_ERROR_STRING && length == (int)strlen(text));
    }
}

int main(int argc, char **argv) {
    begin(&argc, &argv);
    lifetimes();
    called();
    nested();
    of_requests();
    classes();
    predefined();
    MPI_Finalize();
    return 0;
}
