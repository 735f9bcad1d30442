/* How much came, by elements of the type and of the predefined types in it; attributes of types. */
#include "check.h"

static void counted(MPI_Status *status, MPI_Datatype type, int count, int elements) {
    int number = 77;
    MPI_Count large = 77;
    CHECK(MPI_Get_count(status, type, &number) == MPI_SUCCESS && number == count);
    CHECK(MPI_Get_elements(status, type, &number) == MPI_SUCCESS && number == elements);
    MPI_Get_count_c(status, type, &large);
    CHECK(large == count);
    MPI_Get_elements_c(status, type, &large);
    CHECK(large == elements);
    MPI_Get_elements_x(status, type, &large);
    CHECK(large == elements);
}

/* Parts of an element may come; parts of a number are undefined. */
static void elements(void) {
    MPI_Datatype mixed, many, parts[] = {MPI_INT, MPI_DOUBLE, MPI_SHORT};
    char in[256] = {0}, out[1024];
    MPI_Request request;
    MPI_Status status;
    struct { int bytes, count, elements; } cases[] = {
        {0, 0, 0},
        {4, MPI_UNDEFINED, 1},
        {5, MPI_UNDEFINED, MPI_UNDEFINED},
        {12, MPI_UNDEFINED, 2},
        {20, MPI_UNDEFINED, 3},
        {22, 1, 4},
        {26, MPI_UNDEFINED, 5},
        {66, 3, 12},
    };
    MPI_Type_create_struct(3, (int[]){1, 2, 1}, (MPI_Aint[]){0, 8, 24}, parts, &mixed);
    MPI_Type_contiguous(2, mixed, &many);
    MPI_Type_commit(&mixed);
    MPI_Type_commit(&many);
    for (int n = 0; n < 8; n++) {
        MPI_Irecv(out, 4, mixed, 0, n, MPI_COMM_SELF, &request);
        MPI_Send(in, cases[n].bytes, MPI_BYTE, 0, n, MPI_COMM_SELF);
        MPI_Wait(&request, &status);
        counted(&status, mixed, cases[n].count, cases[n].elements);
        int whole = cases[n].bytes % 44 == 0 ? cases[n].bytes / 44 : MPI_UNDEFINED;
        counted(&status, many, whole, cases[n].elements);
        MPI_Status_set_elements(&status, mixed, 5);
        counted(&status, mixed, MPI_UNDEFINED, 5);
        MPI_Status_set_elements_c(&status, mixed, 8);
        counted(&status, mixed, 2, 8);
    }
    MPI_Irecv(out, 4, MPI_DOUBLE_INT, 0, 9, MPI_COMM_SELF, &request);
    MPI_Send(in, 20, MPI_BYTE, 0, 9, MPI_COMM_SELF);
    MPI_Wait(&request, &status);
    counted(&status, MPI_DOUBLE_INT, MPI_UNDEFINED, 3);
    MPI_Type_free(&mixed);
    MPI_Type_free(&many);
}

static int deleted;

static int copy(MPI_Datatype type, int key, void *extra, void *in, void *out, int *flag) {
    CHECK(type != MPI_DATATYPE_NULL && key != MPI_KEYVAL_INVALID && extra == &deleted);
    *(void **)out = (char *)in + 1;
    *flag = 1;
    return in == (void *)300 ? MPI_ERR_OTHER : MPI_SUCCESS;
}

static int gone(MPI_Datatype type, int key, void *value, void *extra) {
    CHECK(type != MPI_DATATYPE_NULL && key != MPI_KEYVAL_INVALID && extra == &deleted);
    deleted++;
    return value == (void *)200 ? MPI_ERR_OTHER : MPI_SUCCESS;
}

/* A duplicate has what the copy function gives; freeing calls the delete function, which may
 * refuse. */
static void attributes(void) {
    MPI_Datatype type, other;
    int key, flag;
    void *value;
    MPI_Type_create_keyval(copy, gone, &key, &deleted);
    MPI_Type_contiguous(2, MPI_INT, &type);
    MPI_Type_set_attr(type, key, (void *)100);
    CHECK(MPI_Type_dup(type, &other) == MPI_SUCCESS);
    MPI_Type_get_attr(other, key, &value, &flag);
    CHECK(flag && value == (void *)101);
    CHECK(MPI_Type_free(&other) == MPI_SUCCESS && deleted == 1);
    MPI_Type_set_attr(type, key, (void *)300);
    CHECK(deleted == 2);
    other = MPI_DATATYPE_NULL;
    CHECK(MPI_Type_dup(type, &other) != MPI_SUCCESS && other == MPI_DATATYPE_NULL);
    MPI_Type_set_attr(type, key, (void *)200);
    CHECK(deleted == 3 && MPI_Type_free(&type) != MPI_SUCCESS && type != MPI_DATATYPE_NULL);
    MPI_Type_get_attr(type, key, &value, &flag);
    CHECK(flag && value == (void *)200 && deleted == 4);
    MPI_Type_delete_attr(type, key);
    FAILS(MPI_ERR_TYPE, MPI_Type_get_attr((MPI_Datatype)0x999999, key, &value, &flag));
    /* Predefined types have attributes too; they are not those of a duplicate. */
    MPI_Type_set_attr(MPI_INT, key, (void *)7);
    MPI_Type_get_attr(MPI_INT, key, &value, &flag);
    CHECK(flag && value == (void *)7);
    MPI_Type_delete_attr(MPI_INT, key);
    MPI_Type_get_attr(MPI_INT, key, &value, &flag);
    CHECK(!flag);
    MPI_Type_free_keyval(&key);
    CHECK(key == MPI_KEYVAL_INVALID);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    elements();
    attributes();
    MPI_Finalize();
    return 0;
}
