/* Info objects, versions, names, sessions, memory. */
#include "check.h"

static void infos(void) {
    MPI_Info info, copy;
    char value[MPI_MAX_INFO_VAL], key[MPI_MAX_INFO_KEY];
    int flag, count, length = 0;
    CHECK(MPI_Info_create(&info) == MPI_SUCCESS);
    CHECK(MPI_Info_set(info, "one", "1") == MPI_SUCCESS);
    CHECK(MPI_Info_set(info, "two", "zwei") == MPI_SUCCESS);
    CHECK(MPI_Info_set(info, "one", "eins") == MPI_SUCCESS);
    CHECK(MPI_Info_get_nkeys(info, &count) == MPI_SUCCESS && count == 2);
    CHECK(MPI_Info_get_string(info, "two", &length, NULL, &flag) == MPI_SUCCESS);
    CHECK(flag && length == 5);
    length = 3;
    CHECK(MPI_Info_get_string(info, "two", &length, value, &flag) == MPI_SUCCESS);
    CHECK(flag && length == 5 && strcmp(value, "zw") == 0);
    CHECK(MPI_Info_get(info, "one", 4, value, &flag) == MPI_SUCCESS);
    CHECK(flag && strcmp(value, "eins") == 0);
    CHECK(MPI_Info_get_valuelen(info, "three", &length, &flag) == MPI_SUCCESS && !flag);
    /* Keys are numbered as they were set; those behind one that goes move up. */
    MPI_Info_set(info, "again", "3");
    CHECK(MPI_Info_get_nthkey(info, 0, key) == MPI_SUCCESS && strcmp(key, "one") == 0);
    CHECK(MPI_Info_get_nthkey(info, 2, key) == MPI_SUCCESS && strcmp(key, "again") == 0);
    MPI_Info_delete(info, "one");
    CHECK(MPI_Info_get_nthkey(info, 1, key) == MPI_SUCCESS && strcmp(key, "again") == 0);
    MPI_Info_delete(info, "again");
    MPI_Info_set(info, "one", "eins");
    CHECK(MPI_Info_dup(info, &copy) == MPI_SUCCESS);
    CHECK(MPI_Info_delete(info, "one") == MPI_SUCCESS);
    FAILS(MPI_ERR_INFO_NOKEY, MPI_Info_delete(info, "one"));
    FAILS(MPI_ERR_INFO_KEY, MPI_Info_set(info, "", "x"));
    FAILS(MPI_ERR_INFO_VALUE, MPI_Info_set(info, "null", NULL));
    CHECK(MPI_Info_get_nkeys(copy, &count) == MPI_SUCCESS && count == 2);
    CHECK(MPI_Info_get_nthkey(info, 0, key) == MPI_SUCCESS && strcmp(key, "two") == 0);
    FAILS(MPI_ERR_ARG, MPI_Info_get_nthkey(info, 1, key));
    CHECK(MPI_Info_free(&info) == MPI_SUCCESS && info == MPI_INFO_NULL);
    CHECK(MPI_Info_free(&copy) == MPI_SUCCESS);
    FAILS(MPI_ERR_INFO, MPI_Info_free(&copy));
    CHECK(MPI_Info_get(MPI_INFO_ENV, "maxprocs", 10, value, &flag) == MPI_SUCCESS && flag);
    FAILS(MPI_ERR_INFO, MPI_Info_set(MPI_INFO_ENV, "a", "b"));
}

static void names(void) {
    int version, subversion, length;
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    CHECK(MPI_Get_version(&version, &subversion) == MPI_SUCCESS);
    CHECK(version == 5 && subversion == 0);
    CHECK(MPI_Get_library_version(text, &length) == MPI_SUCCESS && length == (int)strlen(text));
    CHECK(MPI_Get_processor_name(text, &length) == MPI_SUCCESS && length == (int)strlen(text));
    CHECK(MPI_Abi_get_version(&version, &subversion) == MPI_SUCCESS && version == 1);
    double *numbers;
    CHECK(MPI_Alloc_mem(800, MPI_INFO_NULL, &numbers) == MPI_SUCCESS);
    for (int i = 0; i < 100; i++) {
        numbers[i] = i;
    }
    CHECK(MPI_Free_mem(numbers) == MPI_SUCCESS);
    MPI_Comm parent;
    CHECK(MPI_Comm_get_parent(&parent) == MPI_SUCCESS && parent == MPI_COMM_NULL);
}

static int handled;

static void handler(MPI_Session *session, int *code, ...) {
    CHECK(*session != MPI_SESSION_NULL && *code == MPI_ERR_ARG);
    handled++;
}

/* Before MPI_Init. */
static void sessions(void) {
    MPI_Session session;
    MPI_Info info;
    MPI_Errhandler mine;
    int sets, length = 0, flag;
    char name[MPI_MAX_PSET_NAME_LEN], size[16];
    CHECK(MPI_Session_create_errhandler(handler, &mine) == MPI_SUCCESS);
    CHECK(MPI_Session_init(MPI_INFO_NULL, mine, &session) == MPI_SUCCESS);
    CHECK(MPI_Session_get_num_psets(session, MPI_INFO_NULL, &sets) == MPI_SUCCESS && sets >= 2);
    CHECK(MPI_Session_get_nth_pset(session, MPI_INFO_NULL, 0, &length, NULL) == MPI_SUCCESS);
    CHECK(length == (int)sizeof("mpi://WORLD"));
    CHECK(MPI_Session_get_nth_pset(session, MPI_INFO_NULL, 0, &length, name) == MPI_SUCCESS);
    CHECK(strcmp(name, "mpi://WORLD") == 0);
    CHECK(MPI_Session_get_pset_info(session, "mpi://SELF", &info) == MPI_SUCCESS);
    CHECK(MPI_Info_get(info, "mpi_size", 15, size, &flag) == MPI_SUCCESS && flag);
    CHECK(strcmp(size, "1") == 0);
    MPI_Info_free(&info);
    CHECK(MPI_Session_get_nth_pset(session, MPI_INFO_NULL, 99, &length, name) == MPI_ERR_ARG);
    CHECK(handled == 1);
    CHECK(MPI_Session_finalize(&session) == MPI_SUCCESS && session == MPI_SESSION_NULL);
    CHECK(MPI_Errhandler_free(&mine) == MPI_SUCCESS);
}

int main(int argc, char **argv) {
    sessions();
    CHECK(MPI_Init(&argc, &argv) == MPI_SUCCESS);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    infos();
    names();
    return MPI_Finalize();
}
