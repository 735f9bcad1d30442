/* The environment: what may be called when, predefined attributes, memory, names, time. */
#include "p2p.h"
#include <stdint.h>

static void *predefined(int key) {
    void *value = NULL;
    int flag = -1;
    OK(MPI_Comm_get_attr(MPI_COMM_WORLD, key, &value, &flag));
    CHECK(flag == 0 || flag == 1);
    return flag ? value : NULL;
}

static void attributes(void) {
    int *ub = predefined(MPI_TAG_UB);
    CHECK(ub && *ub >= 32767);
    int *host = predefined(MPI_HOST);
    CHECK(!host || *host == MPI_PROC_NULL || (*host >= 0 && *host < size));
    int *io = predefined(MPI_IO);
    CHECK(!io || *io == MPI_ANY_SOURCE || *io == MPI_PROC_NULL || (*io >= 0 && *io < size));
    int *global = predefined(MPI_WTIME_IS_GLOBAL);
    CHECK(!global || *global == 0 || *global == 1);
    int *universe = predefined(MPI_UNIVERSE_SIZE);
    CHECK(!universe || *universe >= size);
    int *app = predefined(MPI_APPNUM);
    CHECK(!app || *app >= 0);
    int *last = predefined(MPI_LASTUSEDCODE);
    CHECK(last && *last >= MPI_ERR_LASTCODE);
    /* The largest tag there is can be used. */
    int one = 41, got = 0, tag = *ub;
    MPI_Status status;
    OK(MPI_Sendrecv(&one, 1, MPI_INT, 0, tag, &got, 1, MPI_INT, 0, tag, MPI_COMM_SELF, &status));
    CHECK(got == 41 && status.MPI_TAG == tag);
#ifdef __wasm__
    void *before = predefined(MPI_UNIVERSE_SIZE);
    for (int i = 0; i < 1000; i++) CHECK(predefined(MPI_UNIVERSE_SIZE) == before);
#endif
}

static void memory(void) {
    void *all[50];
    for (int i = 0; i < 50; i++) {
        OK(MPI_Alloc_mem(i * 100, MPI_INFO_NULL, &all[i]));
        CHECK(i == 0 || all[i] != NULL);
        if (i) memset(all[i], i, i * 100);
    }
    for (int i = 1; i < 50; i++) {
        unsigned char *bytes = all[i];
        CHECK(bytes[0] == i && bytes[i * 100 - 1] == i);
        CHECK((uintptr_t)all[i] % 8 == 0);
    }
    for (int i = 49; i > 0; i--) OK(MPI_Free_mem(all[i]));
    if (all[0]) OK(MPI_Free_mem(all[0]));
    /* As aligned as is asked for. */
    for (int align = 32; align <= 4096; align *= 2) {
        MPI_Info info;
        char text[20];
        char *bytes;
        OK(MPI_Info_create(&info));
        sprintf(text, "%d", align);
        OK(MPI_Info_set(info, "mpi_minimum_memory_alignment", text));
        for (int i = 0; i < 5; i++) {
            OK(MPI_Alloc_mem(100 + i, info, &all[i]));
            bytes = all[i];
            CHECK((uintptr_t)bytes % align == 0);
            memset(bytes, i, 100 + i);
        }
        for (int i = 0; i < 5; i++) {
            bytes = all[i];
            CHECK(bytes[99 + i] == i && bytes[0] == i);
            OK(MPI_Free_mem(bytes));
        }
        OK(MPI_Info_free(&info));
    }
    /* Messages of such memory. */
    int *numbers, got[10];
    OK(MPI_Alloc_mem(10 * sizeof(int), MPI_INFO_NULL, &numbers));
    for (int i = 0; i < 10; i++) numbers[i] = i * i;
    OK(MPI_Sendrecv(numbers, 10, MPI_INT, 0, 0, got, 10, MPI_INT, 0, 0, MPI_COMM_SELF,
                    MPI_STATUS_IGNORE));
    CHECK(got[9] == 81);
    OK(MPI_Free_mem(numbers));
}

static void names(void) {
    char text[MPI_MAX_LIBRARY_VERSION_STRING + MPI_MAX_PROCESSOR_NAME];
    int length = -1, version, subversion;
    OK(MPI_Get_version(&version, &subversion));
    CHECK(version == MPI_VERSION && subversion == MPI_SUBVERSION);
    OK(MPI_Get_library_version(text, &length));
    CHECK(length > 0 && length == (int)strlen(text) && length < MPI_MAX_LIBRARY_VERSION_STRING);
    length = -1;
    OK(MPI_Get_processor_name(text, &length));
    CHECK(length > 0 && length == (int)strlen(text) && length < MPI_MAX_PROCESSOR_NAME);
    OK(MPI_Comm_get_name(MPI_COMM_WORLD, text, &length));
    CHECK(strcmp(text, "MPI_COMM_WORLD") == 0 && length == 14);
    OK(MPI_Comm_get_name(MPI_COMM_SELF, text, &length));
    CHECK(strcmp(text, "MPI_COMM_SELF") == 0 && length == 13);
    MPI_Comm comm;
    OK(MPI_Comm_dup(MPI_COMM_WORLD, &comm));
    OK(MPI_Comm_get_name(comm, text, &length));
    CHECK(text[0] == 0 && length == 0);
    OK(MPI_Comm_set_name(comm, "mine"));
    OK(MPI_Comm_get_name(comm, text, &length));
    CHECK(strcmp(text, "mine") == 0 && length == 4);
    OK(MPI_Comm_set_name(comm, ""));
    OK(MPI_Comm_get_name(comm, text, &length));
    CHECK(text[0] == 0 && length == 0);
    char longest[MPI_MAX_OBJECT_NAME];
    memset(longest, 'n', sizeof longest);
    longest[MPI_MAX_OBJECT_NAME - 1] = 0;
    OK(MPI_Comm_set_name(comm, longest));
    OK(MPI_Comm_get_name(comm, text, &length));
    CHECK(strcmp(text, longest) == 0 && length == MPI_MAX_OBJECT_NAME - 1);
    OK(MPI_Comm_free(&comm));
    OK(MPI_Comm_set_name(MPI_COMM_WORLD, "everybody"));
    OK(MPI_Comm_get_name(MPI_COMM_WORLD, text, &length));
    CHECK(strcmp(text, "everybody") == 0);
    OK(MPI_Comm_set_name(MPI_COMM_WORLD, "MPI_COMM_WORLD"));
    MPI_Comm parent;
    OK(MPI_Comm_get_parent(&parent));
    CHECK(parent == MPI_COMM_NULL);
    MPI_Info info;
    OK(MPI_Get_hw_resource_info(&info));
    OK(MPI_Info_free(&info));
}

static void times(void) {
    double tick = MPI_Wtick(), last = MPI_Wtime();
    CHECK(tick > 0 && tick <= 1);
    for (int i = 0; i < 1000; i++) {
        double now = MPI_Wtime();
        CHECK(now >= last);
        last = now;
    }
    double begun = PMPI_Wtime(), waits = 10 * tick > 1e-3 ? 10 * tick : 1e-3;
    while (MPI_Wtime() - begun < waits) {
    }
    OK(MPI_Pcontrol(0));
    OK(MPI_Pcontrol(2, "more", 3));
}

static void state(int initialized, int finalized) {
    int flag, version, subversion, length, class;
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    MPI_Info info;
    OK(MPI_Initialized(&flag));
    CHECK(!flag == !initialized);
    OK(MPI_Finalized(&flag));
    CHECK(!flag == !finalized);
    OK(MPI_Get_version(&version, &subversion));
    OK(MPI_Get_library_version(text, &length));
    OK(MPI_Error_class(MPI_ERR_ARG, &class));
    CHECK(class == MPI_ERR_ARG);
    OK(MPI_Error_string(MPI_ERR_ARG, text, &length));
    CHECK(length > 0);
    OK(MPI_Info_create(&info));
    OK(MPI_Info_free(&info));
}

int main(int argc, char **argv) {
    int flag, provided;
    state(0, 0);
    OK(MPI_Init_thread(&argc, &argv, MPI_THREAD_SINGLE, &provided));
    CHECK(provided >= MPI_THREAD_SINGLE);
    OK(MPI_Query_thread(&flag));
    CHECK(flag == provided);
    OK(MPI_Is_thread_main(&flag));
    CHECK(flag);
    CHECK(MPI_THREAD_SINGLE < MPI_THREAD_FUNNELED && MPI_THREAD_FUNNELED < MPI_THREAD_SERIALIZED &&
          MPI_THREAD_SERIALIZED < MPI_THREAD_MULTIPLE);
    state(1, 0);
    OK(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
    OK(MPI_Comm_size(MPI_COMM_WORLD, &size));
    attributes();
    memory();
    names();
    times();
    OK(MPI_Finalize());
    state(1, 1);
    return 0;
}
