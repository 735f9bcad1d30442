/* Attributes of communicators. */
#include "comm_shared.h"

static int copied, deleted, order[8], refuse_copy, refuse_delete, extra = 5;

static int copy(MPI_Comm comm, int key, void *state, void *in, void *out, int *flag) {
    CHECK(state == &extra);
    CHECK(comm != MPI_COMM_NULL && key != MPI_KEYVAL_INVALID);
    copied++;
    if (refuse_copy) return MPI_ERR_LASTCODE;
    *(int **)out = (int *)in + 1;
    *flag = 1;
    return MPI_SUCCESS;
}

static int forget(MPI_Comm comm, int key, void *state, void *in, void *out, int *flag) {
    *flag = 0;
    return MPI_SUCCESS;
}

static int drop(MPI_Comm comm, int key, void *value, void *state) {
    CHECK(state == &extra);
    if (refuse_delete) return MPI_ERR_ARG;
    order[deleted++ % 8] = key;
    return MPI_SUCCESS;
}

/* Makes communicators inside of the callback. */
static int nested(MPI_Comm comm, int key, void *state, void *in, void *out, int *flag) {
    MPI_Comm made;
    *(int **)out = in;
    *flag = 1;
    CHECK(MPI_Comm_dup(MPI_COMM_SELF, &made) == MPI_SUCCESS);
    CHECK(MPI_Comm_free(&made) == MPI_SUCCESS);
    return MPI_SUCCESS;
}

static void *of(MPI_Comm comm, int key, int is) {
    void *value = NULL;
    int flag = -1;
    CHECK(MPI_Comm_get_attr(comm, key, &value, &flag) == MPI_SUCCESS);
    CHECK(flag == is);
    return value;
}

static void copies(void) {
    int values[4] = {0}, key, dup, none, gone, deep;
    MPI_Comm one, two;
    CHECK(MPI_Comm_create_keyval(copy, drop, &key, &extra) == MPI_SUCCESS);
    MPI_Comm_create_keyval(MPI_COMM_DUP_FN, MPI_COMM_NULL_DELETE_FN, &dup, NULL);
    MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, drop, &none, &extra);
    MPI_Comm_create_keyval(forget, MPI_COMM_NULL_DELETE_FN, &gone, NULL);
    MPI_Comm_create_keyval(nested, MPI_COMM_NULL_DELETE_FN, &deep, NULL);
    MPI_Comm_dup(MPI_COMM_WORLD, &one);
    of(one, key, 0);
    CHECK(MPI_Comm_set_attr(one, key, &values[0]) == MPI_SUCCESS);
    MPI_Comm_set_attr(one, dup, &values[3]);
    MPI_Comm_set_attr(one, none, &values[2]);
    MPI_Comm_set_attr(one, gone, &values[2]);
    MPI_Comm_set_attr(one, deep, &values[1]);
    CHECK(of(one, key, 1) == &values[0]);
    copied = deleted = 0;
    MPI_Comm_dup(one, &two);
    CHECK(copied == 1 && deleted == 0);
    CHECK(of(two, key, 1) == &values[1] && of(two, dup, 1) == &values[3]);
    CHECK(of(two, deep, 1) == &values[1]);
    of(two, none, 0);
    of(two, gone, 0);
    /* a new value: the old one is deleted first */
    MPI_Comm_set_attr(two, key, &values[2]);
    CHECK(deleted == 1 && of(two, key, 1) == &values[2]);
    CHECK(MPI_Comm_delete_attr(two, key) == MPI_SUCCESS && deleted == 2);
    of(two, key, 0);
    CHECK(of(one, key, 1) == &values[0]);
    MPI_Comm_free(&two);
    CHECK(deleted == 2);
    /* a freed key works on while attributes have it */
    int saved = key;
    CHECK(MPI_Comm_free_keyval(&key) == MPI_SUCCESS && key == MPI_KEYVAL_INVALID);
    MPI_Comm_dup(one, &two);
    CHECK(copied == 2);
    CHECK(MPI_Comm_delete_attr(two, saved) == MPI_SUCCESS && deleted == 3);
    MPI_Comm_free(&two);
    MPI_Comm_free(&one);
    CHECK(deleted == 5);
    MPI_Comm_free_keyval(&dup);
    MPI_Comm_free_keyval(&none);
    MPI_Comm_free_keyval(&gone);
    MPI_Comm_free_keyval(&deep);
    /* only copies take attributes along */
    copied = 0;
    MPI_Comm_create_keyval(copy, drop, &key, &extra);
    MPI_Comm_set_attr(MPI_COMM_SELF, key, values);
    MPI_Comm_split(MPI_COMM_SELF, 0, 0, &one);
    CHECK(copied == 0);
    of(one, key, 0);
    MPI_Comm_free(&one);
    MPI_Comm_delete_attr(MPI_COMM_SELF, key);
    MPI_Comm_free_keyval(&key);
}

static void predefined(int size) {
    CHECK(*(int *)of(MPI_COMM_WORLD, MPI_TAG_UB, 1) >= 32767);
    CHECK(*(int *)of(MPI_COMM_WORLD, MPI_UNIVERSE_SIZE, 1) >= size);
    CHECK(*(int *)of(MPI_COMM_WORLD, MPI_LASTUSEDCODE, 1) >= MPI_ERR_LASTCODE);
    CHECK(*(int *)of(MPI_COMM_WORLD, MPI_IO, 1) == MPI_ANY_SOURCE);
    int global = *(int *)of(MPI_COMM_WORLD, MPI_WTIME_IS_GLOBAL, 1);
    CHECK(global == 0 || global == 1);
    of(MPI_COMM_WORLD, MPI_APPNUM, 1);
    of(MPI_COMM_WORLD, MPI_HOST, 1);
    /* each has its own place */
    CHECK(of(MPI_COMM_WORLD, MPI_TAG_UB, 1) != of(MPI_COMM_WORLD, MPI_IO, 1));
    CHECK(of(MPI_COMM_WORLD, MPI_TAG_UB, 1) == of(MPI_COMM_WORLD, MPI_TAG_UB, 1));
}

static void types(void) {
    int key, value, flag;
    void *got;
    CHECK(MPI_Type_create_keyval(MPI_TYPE_DUP_FN, MPI_TYPE_NULL_DELETE_FN, &key, NULL) == 0);
    MPI_Type_get_attr(MPI_INT, key, &got, &flag);
    CHECK(flag == 0);
    CHECK(MPI_Type_set_attr(MPI_INT, key, &value) == MPI_SUCCESS);
    MPI_Type_get_attr(MPI_INT, key, &got, &flag);
    CHECK(flag == 1 && got == &value);
    MPI_Type_get_attr(MPI_CHAR, key, &got, &flag);
    CHECK(flag == 0);
    CHECK(MPI_Type_delete_attr(MPI_INT, key) == MPI_SUCCESS);
    MPI_Type_get_attr(MPI_INT, key, &got, &flag);
    CHECK(flag == 0);
    CHECK(MPI_Type_free_keyval(&key) == MPI_SUCCESS && key == MPI_KEYVAL_INVALID);
    CHECK(MPI_Win_create_keyval(MPI_WIN_NULL_COPY_FN, MPI_WIN_NULL_DELETE_FN, &key, NULL) == 0);
    CHECK(MPI_Win_free_keyval(&key) == MPI_SUCCESS && key == MPI_KEYVAL_INVALID);
}

static int ending[3];

static int in_order(MPI_Comm comm, int key, void *value, void *state) {
    static int last = 3;
    int flag = 0;
    CHECK(MPI_Initialized(&flag) == MPI_SUCCESS && flag);
    CHECK(key == ending[--last]);
    if (last == 0) fprintf(stderr, "all deleted\n");
    return MPI_SUCCESS;
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    copies();
    predefined(comm_size(MPI_COMM_WORLD));
    types();
    for (int i = 0; i < 3; i++) {
        MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, in_order, &ending[i], NULL);
        MPI_Comm_set_attr(MPI_COMM_SELF, ending[i], NULL);
    }
    MPI_Finalize();
    return 0;
}
