/* Sessions: programs that never call MPI_Init, several at once, one after another. */
#include "check.h"

#define OK(call) CHECK((call) == MPI_SUCCESS)

#ifdef __wasm__
static int handled, comm_handled;
static MPI_Session about;
static MPI_Comm about_comm;

static void handler(MPI_Session *session, int *code, ...) {
    int class;
    OK(MPI_Error_class(*code, &class));
    CHECK(*session == about);
    handled++;
}

static void comm_handler(MPI_Comm *comm, int *code, ...) {
    CHECK(*comm == about_comm);
    comm_handled++;
}
#endif

static void ring(MPI_Comm comm, int mark) {
    int rank, size, sent, got = -1;
    OK(MPI_Comm_rank(comm, &rank));
    OK(MPI_Comm_size(comm, &size));
    sent = rank + mark;
    OK(MPI_Sendrecv(&sent, 1, MPI_INT, (rank + 1) % size, 1, &got, 1, MPI_INT,
                    (rank + size - 1) % size, 1, comm, MPI_STATUS_IGNORE));
    CHECK(got == (rank + size - 1) % size + mark);
    OK(MPI_Barrier(comm));
}

static void sets(MPI_Session session) {
    int count, world = 0, self = 0;
    OK(MPI_Session_get_num_psets(session, MPI_INFO_NULL, &count));
    CHECK(count >= 2);
    for (int i = 0; i < count; i++) {
        int length = 0, again;
        char name[MPI_MAX_PSET_NAME_LEN];
        OK(MPI_Session_get_nth_pset(session, MPI_INFO_NULL, i, &length, NULL));
        CHECK(length > 1 && length <= MPI_MAX_PSET_NAME_LEN);
        again = length;
        OK(MPI_Session_get_nth_pset(session, MPI_INFO_NULL, i, &again, name));
        CHECK(again == length && (int)strlen(name) == length - 1);
        world += strcmp(name, "mpi://WORLD") == 0;
        self += strcmp(name, "mpi://SELF") == 0;
        MPI_Info info;
        char value[20];
        int flag, room = sizeof value, size;
        OK(MPI_Session_get_pset_info(session, name, &info));
        OK(MPI_Info_get_string(info, "mpi_size", &room, value, &flag));
        CHECK(flag);
        MPI_Group group;
        OK(MPI_Group_from_session_pset(session, name, &group));
        OK(MPI_Group_size(group, &size));
        CHECK(size == atoi(value));
        OK(MPI_Group_free(&group));
        OK(MPI_Info_free(&info));
    }
    CHECK(world == 1 && self == 1);
}

static MPI_Comm make(MPI_Session session, const char *set, const char *tag, MPI_Errhandler how) {
    MPI_Group group;
    MPI_Comm comm;
    OK(MPI_Group_from_session_pset(session, set, &group));
    OK(MPI_Comm_create_from_group(group, tag, MPI_INFO_NULL, how, &comm));
    OK(MPI_Group_free(&group));
    return comm;
}

static void uses(void) {
    MPI_Session one, two;
    MPI_Info info;
    MPI_Comm world, self, copy, other;
    int flag, result;
    OK(MPI_Info_create(&info));
    OK(MPI_Info_set(info, "thread_level", "MPI_THREAD_SINGLE"));
    OK(MPI_Session_init(info, MPI_ERRORS_RETURN, &one));
    OK(MPI_Info_free(&info));
    OK(MPI_Session_init(MPI_INFO_NULL, MPI_ERRORS_RETURN, &two));
    CHECK(one != two && one != MPI_SESSION_NULL);
    CHECK(MPI_Session_fromint(MPI_Session_toint(one)) == one);
    OK(MPI_Session_get_info(one, &info));
    char value[40];
    int room = sizeof value;
    OK(MPI_Info_get_string(info, "thread_level", &room, value, &flag));
    CHECK(flag && strncmp(value, "MPI_THREAD_", 11) == 0);
    OK(MPI_Info_free(&info));
    sets(one);
    sets(two);
    world = make(one, "mpi://WORLD", "test.world", MPI_ERRORS_RETURN);
    self = make(one, "mpi://SELF", "test.self", MPI_ERRORS_RETURN);
    other = make(two, "mpi://WORLD", "test.world", MPI_ERRORS_RETURN);
    OK(MPI_Comm_compare(world, other, &result));
    CHECK(result == MPI_CONGRUENT || result == MPI_IDENT);
    ring(world, 1);
    ring(other, 10);
    ring(self, 100);
    OK(MPI_Comm_dup(world, &copy));
    ring(copy, 1000);
    OK(MPI_Comm_free(&copy));
    /* The same name again, after the first one is made. */
    copy = make(one, "mpi://WORLD", "test.world", MPI_ERRORS_RETURN);
    ring(copy, 3);
    ring(world, 4);
    OK(MPI_Comm_disconnect(&copy));
    OK(MPI_Comm_free(&other));
    OK(MPI_Session_finalize(&two));
    CHECK(two == MPI_SESSION_NULL);
    ring(world, 5);
    OK(MPI_Comm_free(&world));
    OK(MPI_Comm_free(&self));
    OK(MPI_Session_finalize(&one));
}

/* Buffered sends of a session's communicators go to the session's buffer. */
static void buffers(void) {
    static char of_session[2000 + 2 * MPI_BSEND_OVERHEAD];
    MPI_Session session;
    int got[100], sent[100] = {0}, length;
    void *at;
    OK(MPI_Session_init(MPI_INFO_NULL, MPI_ERRORS_RETURN, &session));
    MPI_Comm self = make(session, "mpi://SELF", "buffers", MPI_ERRORS_RETURN), part;
    OK(MPI_Comm_split(self, 0, 0, &part));
#ifdef __wasm__
    FAILS(MPI_ERR_BUFFER, MPI_Bsend(sent, 100, MPI_INT, 0, 0, part));
#endif
    OK(MPI_Session_attach_buffer(session, of_session, sizeof of_session));
    for (int i = 0; i < 5; i++) {
        MPI_Request request;
        OK(MPI_Irecv(got, 100, MPI_INT, 0, 0, i % 2 ? self : part, &request));
        sent[0] = i + 1;
        OK(MPI_Bsend(sent, 100, MPI_INT, 0, 0, i % 2 ? self : part));
        OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
        CHECK(got[0] == i + 1);
        OK(MPI_Session_flush_buffer(session));
    }
    OK(MPI_Session_detach_buffer(session, &at, &length));
    CHECK(at == of_session && length == (int)sizeof of_session);
    OK(MPI_Comm_free(&part));
    OK(MPI_Comm_free(&self));
    OK(MPI_Session_finalize(&session));
}

#ifdef __wasm__
/* Errors of a communicator go to its handler, those of the session to the session's. */
static void errors(void) {
    MPI_Session session;
    MPI_Errhandler of_session, of_comm, got;
    MPI_Comm comm;
    MPI_Group group;
    int n = 0, length = 0;
    OK(MPI_Session_create_errhandler(handler, &of_session));
    OK(MPI_Comm_create_errhandler(comm_handler, &of_comm));
    OK(MPI_Session_init(MPI_INFO_NULL, of_session, &session));
    about = session;
    OK(MPI_Session_get_errhandler(session, &got));
    CHECK(got == of_session);
    OK(MPI_Errhandler_free(&got));
    OK(MPI_Errhandler_free(&of_session));
    comm = make(session, "mpi://WORLD", "errors", of_comm);
    about_comm = comm;
    FAILS(MPI_ERR_TAG, MPI_Send(&n, 1, MPI_INT, 0, -9, comm));
    CHECK(comm_handled == 1 && handled == 0);
    FAILS(MPI_ERR_ARG, MPI_Session_get_nth_pset(session, MPI_INFO_NULL, 50, &length, NULL));
    CHECK(comm_handled == 1 && handled == 1);
    CHECK(MPI_Group_from_session_pset(session, "no://such", &group) != MPI_SUCCESS);
    CHECK(comm_handled == 1 && handled == 2);
    OK(MPI_Session_call_errhandler(session, MPI_ERR_OTHER));
    CHECK(handled == 3);
    OK(MPI_Comm_call_errhandler(comm, MPI_ERR_OTHER));
    CHECK(comm_handled == 2);
    OK(MPI_Session_set_errhandler(session, MPI_ERRORS_RETURN));
    FAILS(MPI_ERR_ARG, MPI_Session_get_nth_pset(session, MPI_INFO_NULL, -1, &length, NULL));
    CHECK(handled == 3);
    OK(MPI_Comm_free(&comm));
    OK(MPI_Session_finalize(&session));
    MPI_Errhandler_free(&of_comm);
}
#endif

int main(int argc, char **argv) {
    int flag;
    OK(MPI_Initialized(&flag));
    CHECK(!flag);
    uses();
    uses();
    buffers();
    OK(MPI_Initialized(&flag));
    CHECK(!flag);
#ifdef __wasm__
    errors();
#endif
    /* Beside MPI_Init, before, within and after. */
    MPI_Session session;
    OK(MPI_Session_init(MPI_INFO_NULL, MPI_ERRORS_RETURN, &session));
    MPI_Comm comm = make(session, "mpi://WORLD", "beside", MPI_ERRORS_RETURN), merged;
    OK(MPI_Init(&argc, &argv));
    ring(comm, 1);
    ring(MPI_COMM_WORLD, 2);
    uses();
    OK(MPI_Finalize());
    ring(comm, 3);
    OK(MPI_Comm_split(comm, 0, 0, &merged));
    ring(merged, 4);
    OK(MPI_Comm_free(&merged));
    OK(MPI_Comm_free(&comm));
    OK(MPI_Session_finalize(&session));
    return 0;
}
