/* Intercommunicators: messages of every kind between their groups, what is made of them; from two
 * ranks on. */
#include "comm_shared.h"

#define OK(call) CHECK((call) == MPI_SUCCESS)

static int rank, size, odd;

/* The odd ranks and the even ones. */
static MPI_Comm make(int tag, MPI_Comm *half) {
    MPI_Comm inter;
    OK(MPI_Comm_split(MPI_COMM_WORLD, odd, rank, half));
    OK(MPI_Intercomm_create(*half, 0, MPI_COMM_WORLD, !odd, tag, &inter));
    return inter;
}

static void what_it_is(MPI_Comm inter, MPI_Comm half) {
    int flag, n, there = odd ? (size + 1) / 2 : size / 2;
    MPI_Group local, remote, world, common;
    OK(MPI_Comm_test_inter(inter, &flag));
    CHECK(flag);
    OK(MPI_Comm_test_inter(half, &flag));
    CHECK(!flag);
    CHECK(comm_size(inter) == comm_size(half) && comm_rank(inter) == comm_rank(half));
    OK(MPI_Comm_remote_size(inter, &n));
    CHECK(n == there);
    OK(MPI_Comm_group(inter, &local));
    OK(MPI_Comm_remote_group(inter, &remote));
    OK(MPI_Comm_group(MPI_COMM_WORLD, &world));
    OK(MPI_Group_intersection(local, remote, &common));
    OK(MPI_Group_size(common, &n));
    CHECK(n == 0);
    for (int i = 0; i < there; i++) {
        int in_world;
        OK(MPI_Group_translate_ranks(remote, 1, &i, world, &in_world));
        CHECK(in_world == 2 * i + !odd);
    }
    CHECK(comm_compare(inter, inter) == MPI_IDENT);
    CHECK(comm_compare(inter, half) == MPI_UNEQUAL);
    OK(MPI_Group_free(&local));
    OK(MPI_Group_free(&remote));
    OK(MPI_Group_free(&world));
    if (common != MPI_GROUP_EMPTY) OK(MPI_Group_free(&common));
}

/* Sources and destinations are ranks of the other group. */
static void messages(MPI_Comm inter) {
    int me = comm_rank(inter), there, got = -1, count, flag;
    MPI_Status status;
    MPI_Request requests[2];
    MPI_Message message;
    OK(MPI_Comm_remote_size(inter, &there));
    across(inter, 1);
    /* Everybody of one side to rank 0 of the other, which takes from any. */
    for (int side = 0; side < 2; side++) {
        if (odd == side) {
            for (int i = 0; i < 3; i++) {
                int sent[3] = {me, i, 7};
                if (i == 0) OK(MPI_Send(sent, 3, MPI_INT, 0, i, inter));
                if (i == 1) OK(MPI_Ssend(sent, 3, MPI_INT, 0, i, inter));
                if (i == 2) {
                    OK(MPI_Isend(sent, 3, MPI_INT, 0, i, inter, &requests[0]));
                    OK(MPI_Wait(&requests[0], MPI_STATUS_IGNORE));
                }
            }
        } else if (me == 0) {
            int seen[64] = {0}, in[3];
            for (int i = 0; i < 3 * there; i++) {
                if (i % 3 == 0) {
                    OK(MPI_Recv(in, 3, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, inter, &status));
                } else if (i % 3 == 1) {
                    OK(MPI_Mprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, inter, &message, &status));
                    OK(MPI_Mrecv(in, 3, MPI_INT, &message, &status));
                } else {
                    OK(MPI_Probe(MPI_ANY_SOURCE, MPI_ANY_TAG, inter, &status));
                    OK(MPI_Recv(in, 3, MPI_INT, status.MPI_SOURCE, status.MPI_TAG, inter, &status));
                }
                CHECK(status.MPI_SOURCE == in[0] && in[0] >= 0 && in[0] < there);
                CHECK(status.MPI_TAG == in[1] && seen[in[0]] == in[1]);
                seen[in[0]]++;
                OK(MPI_Get_count(&status, MPI_INT, &count));
                CHECK(count == 3);
            }
        }
        /* Nobody's next message is of these. */
        OK(MPI_Barrier(MPI_COMM_WORLD));
    }
    /* Persistent, and both ways in one call, between the ranks that have partners. */
    int smaller = comm_size(inter) < there ? comm_size(inter) : there;
    if (me < smaller) {
        int mine = me * 2 + odd;
        OK(MPI_Sendrecv(&mine, 1, MPI_INT, me, 5, &got, 1, MPI_INT, me, 5, inter, &status));
        CHECK(got == me * 2 + !odd && status.MPI_SOURCE == me);
        OK(MPI_Recv_init(&got, 1, MPI_INT, me, 6, inter, &requests[0]));
        OK(MPI_Send_init(&mine, 1, MPI_INT, me, 6, inter, &requests[1]));
        for (int i = 0; i < 5; i++) {
            mine = i * 10 + odd;
            OK(MPI_Startall(2, requests));
            OK(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE));
            CHECK(got == i * 10 + !odd);
        }
        OK(MPI_Request_free(&requests[0]));
        OK(MPI_Request_free(&requests[1]));
    }
    OK(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, inter, &flag, &status));
    CHECK(!flag);
    OK(MPI_Sendrecv(&got, 1, MPI_INT, MPI_PROC_NULL, 0, &got, 1, MPI_INT, MPI_PROC_NULL, 0, inter,
                    &status));
    CHECK(status.MPI_SOURCE == MPI_PROC_NULL);
}

/* Copies, parts and both in one. */
static void children(MPI_Comm inter) {
    MPI_Comm copy, later, part, merged, again;
    MPI_Request request;
    int flag, there;
    OK(MPI_Comm_dup(inter, &copy));
    OK(MPI_Comm_idup(inter, &later, &request));
    OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    CHECK(comm_compare(inter, copy) == MPI_CONGRUENT && comm_compare(copy, later) == MPI_CONGRUENT);
    across(copy, 2);
    across(later, 3);
    for (int high = 0; high < 2; high++) {
        OK(MPI_Intercomm_merge(copy, odd == high, &merged));
        OK(MPI_Comm_test_inter(merged, &flag));
        CHECK(!flag && comm_size(merged) == size);
        int first = high == odd ? (odd ? (size + 1) / 2 : size / 2) : 0;
        CHECK(comm_rank(merged) == first + comm_rank(copy));
        around(merged, 4);
        OK(MPI_Comm_free(&merged));
    }
    /* All say the same: the order is any, but one. */
    OK(MPI_Intercomm_merge(inter, 1, &merged));
    CHECK(comm_size(merged) == size);
    around(merged, 5);
    /* An intercommunicator of parts of a merged one, and one of that. */
    int side = comm_rank(merged) * 2 >= size;
    MPI_Comm half;
    OK(MPI_Comm_split(merged, side, 0, &half));
    OK(MPI_Intercomm_create(half, comm_size(half) - 1, merged, side ? (size + 1) / 2 - 1 : size - 1,
                            9, &again));
    across(again, 6);
    OK(MPI_Comm_free(&merged));
    OK(MPI_Intercomm_merge(again, side, &merged));
    around(merged, 7);
    OK(MPI_Comm_free(&merged));
    OK(MPI_Comm_free(&half));
    OK(MPI_Comm_free(&again));
    /* By color: one without a partner on the other side is in none. */
    OK(MPI_Comm_remote_size(inter, &there));
    int me = comm_rank(inter);
    OK(MPI_Comm_split(inter, me, 0, &part));
    CHECK((part == MPI_COMM_NULL) == (me >= there));
    if (part != MPI_COMM_NULL) {
        CHECK(comm_size(part) == 1);
        across(part, 8);
        OK(MPI_Comm_free(&part));
    }
    OK(MPI_Comm_split(inter, 5, -me, &part));
    CHECK(comm_rank(part) == comm_size(inter) - 1 - me);
    across(part, 9);
    OK(MPI_Comm_free(&part));
    /* The first of each side. */
    MPI_Group group, first;
    int zero = 0;
    OK(MPI_Comm_group(inter, &group));
    OK(MPI_Group_incl(group, 1, &zero, &first));
    OK(MPI_Comm_create(inter, first, &part));
    CHECK((part == MPI_COMM_NULL) == (me != 0));
    if (part != MPI_COMM_NULL) {
        across(part, 10);
        OK(MPI_Comm_free(&part));
    }
    OK(MPI_Group_free(&group));
    OK(MPI_Group_free(&first));
    OK(MPI_Comm_free(&copy));
    OK(MPI_Comm_disconnect(&later));
}

static int copied, deleted;

static int copy(MPI_Comm comm, int key, void *state, void *in, void *out, int *flag) {
    copied++;
    *(void **)out = in;
    *flag = 1;
    return MPI_SUCCESS;
}

static int drop(MPI_Comm comm, int key, void *value, void *state) {
    deleted++;
    return MPI_SUCCESS;
}

/* Attributes, names and handlers are as with others. */
static void as_others(MPI_Comm inter) {
    MPI_Comm two;
    int key, flag, length;
    void *value;
    char name[MPI_MAX_OBJECT_NAME];
    OK(MPI_Comm_create_keyval(copy, drop, &key, NULL));
    OK(MPI_Comm_set_attr(inter, key, &key));
    OK(MPI_Comm_dup(inter, &two));
    OK(MPI_Comm_get_attr(two, key, &value, &flag));
    CHECK(flag && value == &key && copied == 1);
    OK(MPI_Comm_set_name(two, "between"));
    OK(MPI_Comm_get_name(two, name, &length));
    CHECK(strcmp(name, "between") == 0);
    OK(MPI_Comm_free(&two));
    OK(MPI_Comm_delete_attr(inter, key));
    CHECK(deleted == 2);
    OK(MPI_Comm_free_keyval(&key));
}

/* Without a communicator of all. */
static void from_groups(void) {
    MPI_Group world, local, remote;
    MPI_Comm made;
    int ranges[2][1][3] = {{{0, size - 1, 2}}, {{1, size - 1, 2}}};
    OK(MPI_Comm_group(MPI_COMM_WORLD, &world));
    OK(MPI_Group_range_incl(world, 1, ranges[odd], &local));
    OK(MPI_Group_range_incl(world, 1, ranges[!odd], &remote));
    for (int i = 0; i < 3; i++) {
        OK(MPI_Intercomm_create_from_groups(local, 0, remote, 0, "between groups", MPI_INFO_NULL,
                                            MPI_ERRORS_RETURN, &made));
        across(made, 11 + i);
        OK(MPI_Comm_free(&made));
    }
    OK(MPI_Group_free(&world));
    OK(MPI_Group_free(&local));
    OK(MPI_Group_free(&remote));
}

int main(int argc, char **argv) {
    OK(MPI_Init(&argc, &argv));
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    rank = comm_rank(MPI_COMM_WORLD);
    size = comm_size(MPI_COMM_WORLD);
    odd = rank % 2;
    CHECK(size > 1);
    MPI_Comm half, other_half, inter = make(1, &half), other = make(2, &other_half);
    what_it_is(inter, half);
    /* It does not need what it was made of. */
    OK(MPI_Comm_free(&half));
    OK(MPI_Comm_free(&other_half));
    messages(inter);
    messages(other);
    children(inter);
    as_others(other);
    from_groups();
#ifdef __wasm__
    /* A leader who is wrong is so for all of its group. */
    MPI_Comm none;
    FAILS(MPI_ERR_RANK, MPI_Intercomm_create(MPI_COMM_WORLD, 0, MPI_COMM_WORLD,
                                             rank ? 0 : size, 1, &none));
    CHECK(none == MPI_COMM_NULL);
#endif
    across(inter, 20);
    OK(MPI_Comm_free(&inter));
    OK(MPI_Comm_free(&other));
    around(MPI_COMM_WORLD, 1);
    OK(MPI_Finalize());
    return 0;
}
