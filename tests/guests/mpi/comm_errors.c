/* Errors of groups, communicators and attributes; any number of ranks. */
#include "comm_shared.h"

static int refuse_copy, refuse_delete, deleted;

static int copy(MPI_Comm comm, int key, void *state, void *in, void *out, int *flag) {
    if (refuse_copy) return refuse_copy;
    *(void **)out = in;
    *flag = 1;
    return MPI_SUCCESS;
}

static int drop(MPI_Comm comm, int key, void *value, void *state) {
    if (refuse_delete) return refuse_delete;
    deleted++;
    return MPI_SUCCESS;
}

static void groups(int size) {
    MPI_Group world, made;
    int n, ranks[3] = {0, 0, size};
    int zero[1][3] = {{0, 0, 0}}, endless[1][3] = {{1, 0, 1}}, far[1][3] = {{0, size, 1}};
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    FAILS(MPI_ERR_GROUP, MPI_Group_size(MPI_GROUP_NULL, &n));
    FAILS(MPI_ERR_GROUP, MPI_Group_rank(MPI_GROUP_NULL, &n));
    FAILS(MPI_ERR_ARG, MPI_Group_size(world, NULL));
    FAILS(MPI_ERR_RANK, MPI_Group_incl(world, 1, ranks + 2, &made));
    FAILS(MPI_ERR_ARG, MPI_Group_incl(world, -1, ranks, &made));
    FAILS(MPI_ERR_RANK, MPI_Group_incl(world, 0x7fffffff, ranks, &made));
    FAILS(MPI_ERR_RANK, MPI_Group_incl(world, size + 1, ranks, &made));
    if (size > 1) FAILS(MPI_ERR_RANK, MPI_Group_excl(world, 2, ranks, &made));
    FAILS(MPI_ERR_ARG, MPI_Group_range_incl(world, 1, zero, &made));
    FAILS(MPI_ERR_ARG, MPI_Group_range_excl(world, 1, endless, &made));
    FAILS(MPI_ERR_RANK, MPI_Group_range_incl(world, 1, far, &made));
    FAILS(MPI_ERR_RANK, MPI_Group_translate_ranks(world, 1, ranks + 2, world, &n));
    FAILS(MPI_ERR_ARG, MPI_Group_translate_ranks(world, -1, ranks, world, &n));
    FAILS(MPI_ERR_BUFFER, MPI_Group_translate_ranks(world, 0x7fffffff, ranks, world, ranks));
    made = world;
    MPI_Group_free(&world);
    FAILS(MPI_ERR_GROUP, MPI_Group_size(made, &n));
    FAILS(MPI_ERR_GROUP, MPI_Group_free(&world));
}

static void communicators(int rank, int size) {
    MPI_Comm made = MPI_COMM_WORLD, stale, none = MPI_COMM_NULL;
    MPI_Group world;
    int n;
    char name[MPI_MAX_OBJECT_NAME];
    FAILS(MPI_ERR_COMM, MPI_Comm_size(MPI_COMM_NULL, &n));
    FAILS(MPI_ERR_COMM, MPI_Comm_rank((MPI_Comm)0x12345, &n));
    FAILS(MPI_ERR_COMM, MPI_Comm_remote_size(MPI_COMM_WORLD, &n));
    FAILS(MPI_ERR_COMM, MPI_Comm_remote_group(MPI_COMM_WORLD, &world));
    FAILS(MPI_ERR_COMM, MPI_Comm_free(&made));
    FAILS(MPI_ERR_COMM, MPI_Comm_free(&none));
    FAILS(MPI_ERR_COMM, MPI_Comm_dup(MPI_COMM_NULL, &made));
    FAILS(MPI_ERR_ARG, MPI_Comm_dup(MPI_COMM_WORLD, NULL));
    FAILS(MPI_ERR_ARG, MPI_Comm_split(MPI_COMM_WORLD, -1, 0, &made));
    CHECK(made == MPI_COMM_NULL);
    FAILS(MPI_ERR_ARG, MPI_Comm_split_type(MPI_COMM_WORLD, 77, 0, MPI_INFO_NULL, &made));
    FAILS(MPI_ERR_INFO, MPI_Comm_dup_with_info(MPI_COMM_WORLD, (MPI_Info)0x77, &made));
    FAILS(MPI_ERR_INFO, MPI_Comm_set_info(MPI_COMM_WORLD, (MPI_Info)0x77));
    FAILS(MPI_ERR_COMM, MPI_Intercomm_merge(MPI_COMM_WORLD, 0, &made));
    FAILS(MPI_ERR_RANK, MPI_Intercomm_create(MPI_COMM_WORLD, size, MPI_COMM_WORLD, 0, 1, &made));
    FAILS(MPI_ERR_COMM, MPI_Intercomm_create(MPI_COMM_SELF, 0, MPI_COMM_NULL, 0, 1, &made));
    FAILS(MPI_ERR_RANK, MPI_Intercomm_create(MPI_COMM_SELF, 0, MPI_COMM_WORLD, size, 1, &made));
    FAILS(MPI_ERR_TAG, MPI_Intercomm_create(MPI_COMM_SELF, 0, MPI_COMM_WORLD, 0, -1, &made));
    FAILS(MPI_ERR_COMM, MPI_Intercomm_create(MPI_COMM_SELF, 0, MPI_COMM_WORLD, rank, 1, &made));
    FAILS(MPI_ERR_GROUP, MPI_Comm_create(MPI_COMM_WORLD, MPI_GROUP_NULL, &made));
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    if (size > 1) FAILS(MPI_ERR_GROUP, MPI_Comm_create(MPI_COMM_SELF, world, &made));
    FAILS(MPI_ERR_TAG, MPI_Comm_create_group(MPI_COMM_WORLD, world, -1, &made));
    FAILS(MPI_ERR_ARG, MPI_Comm_get_name(MPI_COMM_WORLD, name, NULL));
    MPI_Group_free(&world);
    MPI_Comm_dup(MPI_COMM_WORLD, &made);
    stale = made;
    MPI_Comm_free(&made);
    FAILS(MPI_ERR_COMM, MPI_Comm_size(stale, &n));
}

/* The program's functions end calls with their codes. */
static void attributes(int rank, int size) {
    MPI_Comm one, two;
    int code, class, key, other, type, flag, saved;
    void *value;
    MPI_Add_error_class(&class);
    MPI_Add_error_code(class, &code);
    MPI_Comm_dup(MPI_COMM_WORLD, &one);
    CHECK(MPI_Comm_create_keyval(copy, drop, &key, NULL) == MPI_SUCCESS);
    MPI_Comm_create_keyval(copy, drop, &other, NULL);
    MPI_Comm_set_attr(one, other, NULL);
    MPI_Comm_set_attr(one, key, NULL);
    refuse_copy = code;
    CHECK(MPI_Comm_dup(one, &two) == code && two == MPI_COMM_NULL);
    /* one rank's refusal is the call's end for all */
    refuse_copy = rank == size - 1 ? code : 0;
    CHECK(MPI_Comm_dup(one, &two) != MPI_SUCCESS && two == MPI_COMM_NULL);
    refuse_copy = 0;
    CHECK(MPI_Comm_dup(one, &two) == MPI_SUCCESS);
    refuse_delete = code;
    CHECK(MPI_Comm_delete_attr(two, key) == code);
    CHECK(MPI_Comm_set_attr(two, key, &value) == code);
    MPI_Comm_get_attr(two, key, &value, &flag);
    CHECK(flag == 1 && value == NULL);
    CHECK(MPI_Comm_free(&two) == code && two != MPI_COMM_NULL && comm_size(two) == size);
    refuse_delete = 0;
    deleted = 0;
    CHECK(MPI_Comm_free(&two) == MPI_SUCCESS && deleted == 2);

    FAILS(MPI_ERR_KEYVAL, MPI_Comm_get_attr(one, MPI_KEYVAL_INVALID, &value, &flag));
    FAILS(MPI_ERR_KEYVAL, MPI_Comm_set_attr(one, MPI_TAG_UB, &value));
    FAILS(MPI_ERR_KEYVAL, MPI_Comm_delete_attr(one, MPI_TAG_UB));
    FAILS(MPI_ERR_COMM, MPI_Comm_set_attr(MPI_COMM_NULL, key, &value));
    FAILS(MPI_ERR_COMM, MPI_Comm_get_attr(MPI_COMM_NULL, MPI_TAG_UB, &value, &flag));
    FAILS(MPI_ERR_ARG, MPI_Comm_get_attr(one, key, &value, NULL));
    MPI_Comm_delete_attr(one, key);
    FAILS(MPI_ERR_KEYVAL, MPI_Comm_delete_attr(one, key));
    saved = key;
    MPI_Comm_free_keyval(&key);
    FAILS(MPI_ERR_KEYVAL, MPI_Comm_free_keyval(&key));
    FAILS(MPI_ERR_KEYVAL, MPI_Comm_free_keyval(&saved));
    FAILS(MPI_ERR_KEYVAL, MPI_Comm_set_attr(one, saved, NULL));
    int tag_ub = MPI_TAG_UB;
    FAILS(MPI_ERR_KEYVAL, MPI_Comm_free_keyval(&tag_ub));
    /* keys of communicators are not those of types */
    FAILS(MPI_ERR_KEYVAL, MPI_Type_set_attr(MPI_INT, other, NULL));
    MPI_Type_create_keyval(MPI_TYPE_NULL_COPY_FN, MPI_TYPE_NULL_DELETE_FN, &type, NULL);
    FAILS(MPI_ERR_KEYVAL, MPI_Comm_set_attr(one, type, NULL));
    FAILS(MPI_ERR_KEYVAL, MPI_Comm_free_keyval(&type));
    FAILS(MPI_ERR_TYPE, MPI_Type_set_attr(MPI_DATATYPE_NULL, type, NULL));
    FAILS(MPI_ERR_WIN, MPI_Win_get_attr(MPI_WIN_NULL, MPI_WIN_BASE, &value, &flag));
    MPI_Type_free_keyval(&type);
    MPI_Comm_free(&one);
    MPI_Comm_free_keyval(&other);
}

static int type_copies, type_deletes;

static int type_copy(MPI_Datatype type, int key, void *state, void *in, void *out, int *flag) {
    type_copies++;
    *(void **)out = state;
    *flag = 1;
    return refuse_copy;
}

static int type_drop(MPI_Datatype type, int key, void *value, void *state) {
    type_deletes++;
    return refuse_delete;
}

static void types(void) {
    MPI_Datatype one, two;
    int key, flag, state;
    void *value;
    MPI_Type_create_keyval(type_copy, type_drop, &key, &state);
    MPI_Type_contiguous(3, MPI_INT, &one);
    MPI_Type_set_attr(one, key, NULL);
    CHECK(MPI_Type_dup(one, &two) == MPI_SUCCESS && type_copies == 1);
    MPI_Type_get_attr(two, key, &value, &flag);
    CHECK(flag == 1 && value == &state);
    CHECK(MPI_Type_free(&two) == MPI_SUCCESS && type_deletes == 1);
    refuse_copy = MPI_ERR_INTERN;
    FAILS(MPI_ERR_INTERN, MPI_Type_dup(one, &two));
    refuse_copy = 0;
    refuse_delete = MPI_ERR_INTERN;
    FAILS(MPI_ERR_INTERN, MPI_Type_free(&one));
    refuse_delete = 0;
    CHECK(MPI_Type_free(&one) == MPI_SUCCESS && type_deletes == 3);
    /* a handle that comes again has no attributes of the one before */
    MPI_Type_contiguous(3, MPI_INT, &one);
    MPI_Type_get_attr(one, key, &value, &flag);
    CHECK(flag == 0);
    MPI_Type_free(&one);
    MPI_Type_free_keyval(&key);
}

int main(int argc, char **argv) {
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    groups(size);
    communicators(rank, size);
    attributes(rank, size);
    types();
    around(MPI_COMM_WORLD, 1);
    MPI_Finalize();
    return 0;
}
