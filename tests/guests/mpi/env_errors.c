/* Error handlers, classes, codes and strings. */
#include "check.h"

static int calls, last;

static void handler(MPI_Comm *comm, int *code, ...) {
    int rank;
    CHECK(*comm == MPI_COMM_WORLD);
    CHECK(MPI_Comm_rank(*comm, &rank) == MPI_SUCCESS);
    calls++;
    last = *code;
}

static void strings(void) {
    int class, code, length;
    char text[MPI_MAX_ERROR_STRING];
    CHECK(MPI_Error_class(MPI_ERR_TAG, &class) == MPI_SUCCESS && class == MPI_ERR_TAG);
    CHECK(MPI_Error_string(MPI_ERR_TAG, text, &length) == MPI_SUCCESS);
    CHECK(length == (int)strlen(text) && length > 0);
    CHECK(MPI_Add_error_class(&class) == MPI_SUCCESS && class > MPI_ERR_LASTCODE);
    CHECK(MPI_Add_error_code(class, &code) == MPI_SUCCESS && code > class);
    CHECK(MPI_Error_string(code, text, &length) == MPI_SUCCESS && length == 0 && text[0] == 0);
    CHECK(MPI_Add_error_string(code, "ours") == MPI_SUCCESS);
    CHECK(MPI_Error_string(code, text, &length) == MPI_SUCCESS && strcmp(text, "ours") == 0);
    int of;
    CHECK(MPI_Error_class(code, &of) == MPI_SUCCESS && of == class);
    FAILS(MPI_ERR_ARG, MPI_Add_error_string(MPI_ERR_TAG, "not ours"));
    FAILS(MPI_ERR_ARG, MPI_Remove_error_class(class));
    CHECK(MPI_Remove_error_string(code) == MPI_SUCCESS);
    CHECK(MPI_Remove_error_code(code) == MPI_SUCCESS);
    CHECK(MPI_Remove_error_class(class) == MPI_SUCCESS);
    FAILS(MPI_ERR_ARG, MPI_Error_class(class, &of));
}

static void handlers(void) {
    MPI_Errhandler mine, now;
    int size = 0;
    CHECK(MPI_Comm_get_errhandler(MPI_COMM_WORLD, &now) == MPI_SUCCESS);
    CHECK(now == MPI_ERRORS_RETURN);
    CHECK(MPI_Errhandler_free(&now) == MPI_SUCCESS && now == MPI_ERRHANDLER_NULL);
    CHECK(MPI_Comm_create_errhandler(handler, &mine) == MPI_SUCCESS);
    CHECK(MPI_Comm_set_errhandler(MPI_COMM_WORLD, mine) == MPI_SUCCESS);
    CHECK(MPI_Comm_get_errhandler(MPI_COMM_WORLD, &now) == MPI_SUCCESS && now == mine);
    MPI_Errhandler_free(&now);
    CHECK(MPI_Errhandler_free(&mine) == MPI_SUCCESS && mine == MPI_ERRHANDLER_NULL);
    /* It goes on while the communicator has it. */
    FAILS(MPI_ERR_RANK, MPI_Send(&size, 1, MPI_INT, 99, 0, MPI_COMM_WORLD));
    CHECK(calls == 1 && last == MPI_ERR_RANK);
    CHECK(MPI_Comm_call_errhandler(MPI_COMM_WORLD, MPI_ERR_OTHER) == MPI_SUCCESS);
    CHECK(calls == 2 && last == MPI_ERR_OTHER);
    CHECK(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN) == MPI_SUCCESS);
    /* What is about no communicator goes to that of MPI_COMM_SELF. */
    FAILS(MPI_ERR_COMM, MPI_Comm_size(MPI_COMM_NULL, &size));
    FAILS(MPI_ERR_ERRHANDLER, MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRHANDLER_NULL));
    CHECK(calls == 2);
}

static int told;

static void of_file(MPI_File *file, int *code, ...) {
    int class = -1;
    MPI_Error_class(*code, &class);
    told += *file == MPI_FILE_NULL && class == MPI_ERR_UNSUPPORTED_OPERATION;
}

/* What goes wrong with files goes to the handler of no file, which at first returns. */
static void files(void) {
    MPI_File file = MPI_FILE_NULL;
    MPI_Errhandler handler, had;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_ARE_FATAL);
    CHECK(MPI_File_get_errhandler(MPI_FILE_NULL, &had) == 0 && had == MPI_ERRORS_RETURN);
    FAILS(MPI_ERR_UNSUPPORTED_OPERATION,
          MPI_File_open(MPI_COMM_WORLD, "a", MPI_MODE_RDONLY, MPI_INFO_NULL, &file));
    CHECK(MPI_File_create_errhandler(of_file, &handler) == MPI_SUCCESS);
    CHECK(MPI_File_set_errhandler(MPI_FILE_NULL, handler) == MPI_SUCCESS);
    CHECK(MPI_File_get_errhandler(MPI_FILE_NULL, &had) == 0 && had == handler);
    CHECK(MPI_Errhandler_free(&had) == 0 && MPI_Errhandler_free(&handler) == 0);
    FAILS(MPI_ERR_UNSUPPORTED_OPERATION, MPI_File_close(&file));
    CHECK(told == 1);
    int code = MPI_ERR_UNSUPPORTED_OPERATION;
    CHECK(MPI_File_call_errhandler(MPI_FILE_NULL, code) == MPI_SUCCESS && told == 2);
    FAILS(MPI_ERR_FILE, MPI_File_get_errhandler(MPI_File_fromint(0x1234), &had));
    CHECK(MPI_File_set_errhandler(MPI_FILE_NULL, MPI_ERRORS_RETURN) == MPI_SUCCESS);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    FAILS(MPI_ERR_ERRHANDLER, MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRHANDLER_NULL));
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
}

int main(void) {
    int flag, threads;
    CHECK(MPI_Initialized(&flag) == MPI_SUCCESS && !flag);
    /* Calls of the tools interface have no handler. */
    FAILS(MPI_ERR_UNSUPPORTED_OPERATION, MPI_T_init_thread(MPI_THREAD_SINGLE, &threads));
    CHECK(MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &threads) == MPI_SUCCESS);
    CHECK(threads == MPI_THREAD_FUNNELED);
    CHECK(MPI_Query_thread(&threads) == MPI_SUCCESS && threads == MPI_THREAD_FUNNELED);
    CHECK(MPI_Is_thread_main(&flag) == MPI_SUCCESS && flag);
    CHECK(MPI_Initialized(&flag) == MPI_SUCCESS && flag);
    CHECK(MPI_Finalized(&flag) == MPI_SUCCESS && !flag);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    FAILS(MPI_ERR_OTHER, MPI_Init(NULL, NULL));
    strings();
    handlers();
    FAILS(MPI_ERR_UNSUPPORTED_OPERATION, MPI_Win_fence(0, MPI_WIN_NULL));
    MPI_Comm spawned;
    char *names[] = {"a"};
    int one[] = {1};
    MPI_Info hints[] = {MPI_INFO_NULL};
    FAILS(MPI_ERR_UNSUPPORTED_OPERATION,
          MPI_Comm_spawn("a", MPI_ARGV_NULL, 1, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &spawned,
                         MPI_ERRCODES_IGNORE));
    FAILS(MPI_ERR_UNSUPPORTED_OPERATION,
          MPI_Comm_spawn_multiple(1, names, MPI_ARGVS_NULL, one, hints, 0, MPI_COMM_WORLD,
                                  &spawned, MPI_ERRCODES_IGNORE));
    files();
    /* The names for Fortran that programs know from before. */
    CHECK(MPI_Comm_f2c(MPI_Comm_c2f(MPI_COMM_WORLD)) == MPI_COMM_WORLD);
    CHECK(MPI_Type_f2c(MPI_Type_c2f(MPI_DOUBLE)) == MPI_DOUBLE);
    double before = MPI_Wtime();
    CHECK(MPI_Wtime() >= before && MPI_Wtick() > 0);
    CHECK(PMPI_Finalize() == MPI_SUCCESS);
    CHECK(MPI_Finalized(&flag) == MPI_SUCCESS && flag);
    CHECK(MPI_Initialized(&flag) == MPI_SUCCESS && flag);
    return 0;
}
