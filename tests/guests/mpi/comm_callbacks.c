/* Attributes: callbacks that call MPI, that are called in which order, with what; any ranks. */
#include "p2p.h"

static MPI_Comm victim;
static int key_a, key_b, deleted, copied, log_[64], logged;
static int state_a = 11, state_b = 22;

static void note(int what) { log_[logged++ % 64] = what; }

/* Keeps the values of its own: counts of references. */
static int count_up(MPI_Comm comm, int key, void *state, void *in, void *out, int *flag) {
    ++*(int *)in;
    ++copied;
    CHECK(*(int *)state == 11 || *(int *)state == 22);
    *(void **)out = in;
    *flag = 1;
    return MPI_SUCCESS;
}

static int count_down(MPI_Comm comm, int key, void *value, void *state) {
    --*(int *)value;
    ++deleted;
    CHECK(*(int *)state == 11 || *(int *)state == 22);
    return MPI_SUCCESS;
}

static void references(void) {
    int count = 1;
    MPI_Comm comms[20];
    OK(MPI_Comm_create_keyval(count_up, count_down, &key_a, &state_a));
    OK(MPI_Comm_dup(MPI_COMM_WORLD, &comms[0]));
    OK(MPI_Comm_set_attr(comms[0], key_a, &count));
    for (int i = 1; i < 20; i++) {
        OK(MPI_Comm_dup(comms[i / 2], &comms[i]));
        CHECK(count == i + 1);
    }
    for (int i = 0; i < 20; i++) {
        int *value, flag;
        OK(MPI_Comm_get_attr(comms[i], key_a, &value, &flag));
        CHECK(flag && value == &count);
    }
    /* The key is freed while all of them have it. */
    OK(MPI_Comm_free_keyval(&key_a));
    CHECK(key_a == MPI_KEYVAL_INVALID && deleted == 0);
    MPI_Comm more;
    OK(MPI_Comm_dup(comms[7], &more));
    CHECK(count == 21);
    OK(MPI_Comm_free(&more));
    for (int i = 0; i < 20; i++) OK(MPI_Comm_free(&comms[i]));
    CHECK(count == 0 && deleted == 21 && copied == 20);
}

/* What is deleted has attributes whose functions call MPI: free communicators that have some, look
 * up attributes, send messages. */
static int simple_delete(MPI_Comm comm, int key, void *value, void *state) {
    note(2);
    CHECK(value == &state_b && state == &state_b);
    return MPI_SUCCESS;
}

static int deep_delete(MPI_Comm comm, int key, void *value, void *state) {
    int *ub, flag, n = 7, got = 0, size;
    note(1);
    CHECK(comm == victim && key == key_a && state == &state_a);
    OK(MPI_Comm_size(comm, &size));
    OK(MPI_Comm_get_attr(comm, MPI_TAG_UB, &ub, &flag));
    CHECK(flag && *ub >= 32767);
    OK(MPI_Sendrecv(&n, 1, MPI_INT, 0, 5, &got, 1, MPI_INT, 0, 5, MPI_COMM_SELF,
                    MPI_STATUS_IGNORE));
    CHECK(got == 7);
    MPI_Comm *own = value;
    OK(MPI_Comm_free(own));
    free(own);
    return MPI_SUCCESS;
}

static int deep_copy(MPI_Comm comm, int key, void *state, void *in, void *out, int *flag) {
    MPI_Comm *own = malloc(sizeof *own);
    note(3);
    OK(MPI_Comm_dup(*(MPI_Comm *)in, own));
    *(void **)out = own;
    *flag = 1;
    return MPI_SUCCESS;
}

static void nested(void) {
    MPI_Comm copy, *own = malloc(sizeof *own);
    OK(MPI_Comm_create_keyval(deep_copy, deep_delete, &key_a, &state_a));
    OK(MPI_Comm_create_keyval(MPI_COMM_DUP_FN, simple_delete, &key_b, &state_b));
    OK(MPI_Comm_dup(MPI_COMM_SELF, own));
    OK(MPI_Comm_set_attr(*own, key_b, &state_b));
    OK(MPI_Comm_dup(MPI_COMM_WORLD, &victim));
    OK(MPI_Comm_set_attr(victim, key_a, own));
    logged = 0;
    OK(MPI_Comm_dup(victim, &copy));
    CHECK(logged == 1 && log_[0] == 3);
    OK(MPI_Comm_free(&victim));
    CHECK(logged == 3 && log_[1] == 1 && log_[2] == 2);
    victim = copy;
    OK(MPI_Comm_free(&copy));
    CHECK(logged == 5 && log_[3] == 1 && log_[4] == 2);
    OK(MPI_Comm_free_keyval(&key_a));
    OK(MPI_Comm_free_keyval(&key_b));
}

/* A delete function that takes other attributes of the same communicator away. */
static int deletes_other(MPI_Comm comm, int key, void *value, void *state) {
    int other = *(int *)state, flag;
    void *found;
    note(key);
    OK(MPI_Comm_get_attr(comm, other, &found, &flag));
    if (flag) OK(MPI_Comm_delete_attr(comm, other));
    return MPI_SUCCESS;
}

static void of_each_other(void) {
    MPI_Comm comm;
    int none = 0, flag;
    void *found;
    OK(MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, simple_delete, &key_b, &state_b));
    OK(MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, deletes_other, &key_a, &key_b));
    OK(MPI_Comm_dup(MPI_COMM_SELF, &comm));
    OK(MPI_Comm_set_attr(comm, key_b, &state_b));
    OK(MPI_Comm_set_attr(comm, key_a, &none));
    logged = 0;
    OK(MPI_Comm_delete_attr(comm, key_a));
    CHECK(logged == 2 && log_[0] == key_a && log_[1] == 2);
    OK(MPI_Comm_get_attr(comm, key_b, &found, &flag));
    CHECK(!flag);
    OK(MPI_Comm_set_attr(comm, key_a, &none));
    OK(MPI_Comm_free(&comm));
    CHECK(logged == 3);
    OK(MPI_Comm_free_keyval(&key_a));
    OK(MPI_Comm_free_keyval(&key_b));
}

/* Values may be anything, NULL too, and not set is another thing than NULL. */
static void values(void) {
    int key, flag;
    void *value;
    OK(MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, MPI_COMM_NULL_DELETE_FN, &key, NULL));
    OK(MPI_Comm_get_attr(MPI_COMM_WORLD, key, &value, &flag));
    CHECK(flag == 0);
    OK(MPI_Comm_set_attr(MPI_COMM_WORLD, key, NULL));
    value = &key;
    OK(MPI_Comm_get_attr(MPI_COMM_WORLD, key, &value, &flag));
    CHECK(flag == 1 && value == NULL);
    OK(MPI_Comm_set_attr(MPI_COMM_WORLD, key, (void *)-1));
    OK(MPI_Comm_get_attr(MPI_COMM_WORLD, key, &value, &flag));
    CHECK(flag == 1 && value == (void *)-1);
    OK(MPI_Comm_get_attr(MPI_COMM_SELF, key, &value, &flag));
    CHECK(flag == 0);
    OK(MPI_Comm_delete_attr(MPI_COMM_WORLD, key));
    OK(MPI_Comm_get_attr(MPI_COMM_WORLD, key, &value, &flag));
    CHECK(flag == 0);
    OK(MPI_Comm_free_keyval(&key));
}

/* Many keys on one communicator, deleted in any order; keys come again and are new ones. */
static void many(void) {
    enum { MANY = 300 };
    static int keys[MANY], data[MANY];
    MPI_Comm comm, copy;
    int flag, *value;
    OK(MPI_Comm_dup(MPI_COMM_SELF, &comm));
    copied = deleted = 0;
    for (int i = 0; i < MANY; i++) {
        OK(MPI_Comm_create_keyval(i % 3 ? count_up : MPI_COMM_NULL_COPY_FN, count_down, &keys[i],
                                  i % 2 ? &state_a : &state_b));
        data[i] = i;
        OK(MPI_Comm_set_attr(comm, keys[i], &data[i]));
    }
    OK(MPI_Comm_dup(comm, &copy));
    CHECK(copied == MANY - (MANY + 2) / 3);
    for (int i = 0; i < MANY; i++) {
        OK(MPI_Comm_get_attr(copy, keys[i], &value, &flag));
        CHECK(flag == (i % 3 != 0) && (!flag || *value == i + 1));
    }
    for (int i = 0; i < MANY; i += 2) OK(MPI_Comm_delete_attr(comm, keys[i]));
    CHECK(deleted == MANY / 2);
    OK(MPI_Comm_free(&comm));
    CHECK(deleted == MANY);
    for (int i = 0; i < MANY; i++) OK(MPI_Comm_free_keyval(&keys[i]));
    OK(MPI_Comm_free(&copy));
    CHECK(deleted == MANY + copied);
}

/* Functions that fail: the call fails with it, and what there was stays. */
static int fails;
static int may_fail_copy(MPI_Comm comm, int key, void *state, void *in, void *out, int *flag) {
    *flag = 1;
    *(void **)out = in;
    copied++;
    return fails ? MPI_ERR_OTHER : MPI_SUCCESS;
}
static int may_fail_delete(MPI_Comm comm, int key, void *value, void *state) {
    deleted++;
    return fails ? MPI_ERR_OTHER : MPI_SUCCESS;
}

static void failing(void) {
    MPI_Comm comm, copy = MPI_COMM_WORLD;
    int key, flag;
    void *value;
    OK(MPI_Comm_create_keyval(may_fail_copy, may_fail_delete, &key, NULL));
    OK(MPI_Comm_dup(MPI_COMM_WORLD, &comm));
    OK(MPI_Comm_set_attr(comm, key, &key));
    fails = 1;
    CHECK(MPI_Comm_dup(comm, &copy) != MPI_SUCCESS && copy == MPI_COMM_NULL);
    CHECK(MPI_Comm_delete_attr(comm, key) != MPI_SUCCESS);
    OK(MPI_Comm_get_attr(comm, key, &value, &flag));
    CHECK(flag && value == &key);
    fails = 0;
    OK(MPI_Comm_dup(comm, &copy));
    OK(MPI_Comm_get_attr(copy, key, &value, &flag));
    CHECK(flag && value == &key);
    MPI_Request request;
    MPI_Comm later;
    OK(MPI_Comm_idup(comm, &later, &request));
    OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    OK(MPI_Comm_get_attr(later, key, &value, &flag));
    CHECK(flag && value == &key);
    deleted = 0;
    OK(MPI_Comm_free(&later));
    OK(MPI_Comm_free(&copy));
    OK(MPI_Comm_free(&comm));
    CHECK(deleted == 3);
    OK(MPI_Comm_free_keyval(&key));
}

/* At the end: in the reverse of their order, while MPI is there to be used. */
enum { LAST = 10 };
static int last_keys[LAST], last_next = LAST;
static MPI_Comm last_comm;

static int at_end(MPI_Comm comm, int key, void *value, void *state) {
    int flag, got = 0, one = 1;
    CHECK(comm == MPI_COMM_SELF);
    OK(MPI_Finalized(&flag));
    CHECK(!flag);
    CHECK(key == last_keys[--last_next]);
    OK(MPI_Sendrecv(&one, 1, MPI_INT, 0, 0, &got, 1, MPI_INT, 0, 0, comm, MPI_STATUS_IGNORE));
    CHECK(got == 1);
    if (last_next == 5) OK(MPI_Comm_free(&last_comm));
    if (last_next == 0) fprintf(stderr, "all deleted\n");
    return MPI_SUCCESS;
}

static void until_the_end(void) {
    OK(MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, simple_delete, &key_b, &state_b));
    OK(MPI_Comm_dup(MPI_COMM_SELF, &last_comm));
    OK(MPI_Comm_set_attr(last_comm, key_b, &state_b));
    for (int i = 0; i < LAST; i++) {
        OK(MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, at_end, &last_keys[i], NULL));
        int key = last_keys[i];
        OK(MPI_Comm_set_attr(MPI_COMM_SELF, key, NULL));
        if (i % 2) OK(MPI_Comm_free_keyval(&key));
    }
}

int main(int argc, char **argv) {
    begin(&argc, &argv);
    references();
    nested();
    of_each_other();
    values();
    many();
    failing();
    until_the_end();
    logged = 0;
    OK(MPI_Finalize());
    CHECK(last_next == 0 && logged == 1);
    return 0;
}
