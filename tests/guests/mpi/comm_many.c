/* Communicators: very many, within each other, of every maker; groups; any number of ranks. */
#include "comm_shared.h"

#define OK(call) CHECK((call) == MPI_SUCCESS)

static int rank, size;

static MPI_Group group_of(MPI_Comm comm) {
    MPI_Group group;
    OK(MPI_Comm_group(comm, &group));
    return group;
}

/* Made and freed, many more often than there could be contexts at once. */
static void again_and_again(void) {
    /* Fewer on many ranks: each of these waits for all, which may be slow to get their turn. */
    int rounds = size > 4 ? 200 : 1500;
    for (int i = 0; i < rounds; i++) {
        MPI_Comm made = MPI_COMM_NULL;
        if (i % 3 == 0) OK(MPI_Comm_dup(MPI_COMM_WORLD, &made));
        if (i % 3 == 1) OK(MPI_Comm_split(MPI_COMM_WORLD, 0, -rank, &made));
        if (i % 3 == 2) OK(MPI_Comm_dup(MPI_COMM_SELF, &made));
        CHECK(made != MPI_COMM_NULL);
        if (i % 100 < 3) around(made, i);
        OK(MPI_Comm_free(&made));
        CHECK(made == MPI_COMM_NULL);
    }
}

/* Many that live at once, each made of the one before; freed from the middle. */
static void nested(void) {
    enum { DEEP = 200 };
    static MPI_Comm comms[DEEP];
    OK(MPI_Comm_dup(MPI_COMM_WORLD, &comms[0]));
    for (int i = 1; i < DEEP; i++) {
        if (i % 2) OK(MPI_Comm_dup(comms[i - 1], &comms[i]));
        else OK(MPI_Comm_split(comms[i - 1], 7, rank, &comms[i]));
    }
    /* A message of each is another one's of none. */
    MPI_Request requests[DEEP];
    int in[DEEP], out[DEEP], right = (rank + 1) % size, left = (rank + size - 1) % size;
    for (int i = 0; i < DEEP; i++) {
        OK(MPI_Irecv(&in[i], 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, comms[i], &requests[i]));
    }
    for (int i = DEEP - 1; i >= 0; i--) {
        out[i] = rank * 1000 + i;
        OK(MPI_Send(&out[i], 1, MPI_INT, right, 0, comms[i]));
    }
    OK(MPI_Waitall(DEEP, requests, MPI_STATUSES_IGNORE));
    for (int i = 0; i < DEEP; i++) CHECK(in[i] == left * 1000 + i);
    for (int i = 0; i < DEEP; i += 2) OK(MPI_Comm_free(&comms[i]));
    around(comms[DEEP - 1], 1);
    for (int i = 1; i < DEEP; i += 2) OK(MPI_Comm_free(&comms[i]));
}

/* What has begun in a communicator goes on after it was freed. */
static void freed_in_use(void) {
    MPI_Comm comm, other;
    MPI_Request requests[3];
    int in = -1, out = rank * 5, right = (rank + 1) % size, left = (rank + size - 1) % size;
    OK(MPI_Comm_dup(MPI_COMM_WORLD, &comm));
    OK(MPI_Irecv(&in, 1, MPI_INT, left, 1, comm, &requests[0]));
    OK(MPI_Ibarrier(comm, &requests[1]));
    OK(MPI_Issend(&out, 1, MPI_INT, right, 1, comm, &requests[2]));
    OK(MPI_Comm_free(&comm));
    OK(MPI_Comm_dup(MPI_COMM_WORLD, &other));
    OK(MPI_Waitall(3, requests, MPI_STATUSES_IGNORE));
    CHECK(in == left * 5);
    OK(MPI_Comm_idup(other, &comm, &requests[0]));
    OK(MPI_Wait(&requests[0], MPI_STATUS_IGNORE));
    OK(MPI_Comm_free(&other));
    around(comm, 2);
    OK(MPI_Comm_disconnect(&comm));
    CHECK(comm == MPI_COMM_NULL);
}

/* Two copies of a handle are one communicator; which results of compare there are. */
static void compared(void) {
    MPI_Comm one, two, reversed, part;
    int result;
    OK(MPI_Comm_dup(MPI_COMM_WORLD, &one));
    two = one;
    CHECK(comm_compare(one, two) == MPI_IDENT);
    CHECK(comm_compare(MPI_COMM_WORLD, MPI_COMM_WORLD) == MPI_IDENT);
    CHECK(comm_compare(MPI_COMM_WORLD, one) == MPI_CONGRUENT);
    OK(MPI_Comm_split(MPI_COMM_WORLD, 0, -rank, &reversed));
    CHECK(comm_compare(one, reversed) == (size > 1 ? MPI_SIMILAR : MPI_CONGRUENT));
    CHECK(comm_rank(reversed) == size - 1 - rank);
    CHECK(comm_compare(MPI_COMM_WORLD, MPI_COMM_SELF) == (size > 1 ? MPI_UNEQUAL : MPI_CONGRUENT));
    OK(MPI_Comm_split(MPI_COMM_WORLD, rank % 2, 0, &part));
    CHECK(comm_compare(MPI_COMM_WORLD, part) == (size > 1 ? MPI_UNEQUAL : MPI_CONGRUENT));
    MPI_Group a = group_of(one), b = group_of(reversed), c = group_of(MPI_COMM_WORLD);
    OK(MPI_Group_compare(a, c, &result));
    CHECK(result == MPI_IDENT);
    OK(MPI_Group_compare(a, b, &result));
    CHECK(result == (size > 1 ? MPI_SIMILAR : MPI_IDENT));
    OK(MPI_Group_compare(a, MPI_GROUP_EMPTY, &result));
    CHECK(result == MPI_UNEQUAL);
    OK(MPI_Group_compare(MPI_GROUP_EMPTY, MPI_GROUP_EMPTY, &result));
    CHECK(result == MPI_IDENT);
    OK(MPI_Group_free(&a));
    OK(MPI_Group_free(&b));
    OK(MPI_Group_free(&c));
    OK(MPI_Comm_free(&one));
    OK(MPI_Comm_free(&reversed));
    OK(MPI_Comm_free(&part));
}

/* Groups outlive their communicators, and make new ones. */
static void of_groups(void) {
    MPI_Comm comm, made;
    MPI_Group all, evens, odds, empty, both;
    int n, evens_range[1][3] = {{0, size - 1, 2}};
    OK(MPI_Comm_dup(MPI_COMM_WORLD, &comm));
    all = group_of(comm);
    OK(MPI_Comm_free(&comm));
    OK(MPI_Group_size(all, &n));
    CHECK(n == size);
    OK(MPI_Group_range_incl(all, 1, evens_range, &evens));
    OK(MPI_Group_difference(all, evens, &odds));
    OK(MPI_Group_intersection(evens, odds, &empty));
    OK(MPI_Group_size(empty, &n));
    CHECK(n == 0);
    OK(MPI_Group_rank(empty, &n));
    CHECK(n == MPI_UNDEFINED);
    OK(MPI_Group_union(odds, evens, &both));
    OK(MPI_Group_size(both, &n));
    CHECK(n == size);
    /* Different groups in one call. */
    OK(MPI_Comm_create(MPI_COMM_WORLD, rank % 2 ? odds : evens, &made));
    CHECK(comm_size(made) == (size + 1 - rank % 2) / 2 && comm_rank(made) == rank / 2);
    around(made, 3);
    OK(MPI_Comm_free(&made));
    /* Only those of a group call it; two at once with tags of their own. */
    OK(MPI_Comm_create_group(MPI_COMM_WORLD, rank % 2 ? odds : evens, rank % 2, &made));
    around(made, 4);
    OK(MPI_Comm_free(&made));
    OK(MPI_Comm_create(MPI_COMM_WORLD, rank % 2 ? MPI_GROUP_EMPTY : evens, &made));
    CHECK((made == MPI_COMM_NULL) == (rank % 2));
    if (made != MPI_COMM_NULL) {
        around(made, 5);
        OK(MPI_Comm_free(&made));
    }
    OK(MPI_Comm_create_group(MPI_COMM_WORLD, both, 3, &made));
    CHECK(comm_rank(made) == (rank % 2 ? rank / 2 : size / 2 + rank / 2));
    around(made, 6);
    OK(MPI_Comm_free(&made));
    OK(MPI_Comm_create_from_group(both, "of a group", MPI_INFO_NULL, MPI_ERRORS_RETURN, &made));
    CHECK(comm_size(made) == size);
    around(made, 7);
    OK(MPI_Comm_free(&made));
    /* Ranks of one group in another. */
    int ranks[3] = {0, MPI_PROC_NULL, size - 1}, there[3];
    OK(MPI_Group_translate_ranks(all, 3, ranks, evens, there));
    CHECK(there[0] == 0 && there[1] == MPI_PROC_NULL);
    CHECK(there[2] == (size % 2 ? size / 2 : MPI_UNDEFINED));
    OK(MPI_Group_free(&evens));
    OK(MPI_Group_free(&odds));
    OK(MPI_Group_free(&both));
    if (empty != MPI_GROUP_EMPTY) OK(MPI_Group_free(&empty));
    OK(MPI_Group_free(&all));
    CHECK(all == MPI_GROUP_NULL);
}

static void split(void) {
    MPI_Comm made, again;
    MPI_Info info;
    /* Some in none. */
    OK(MPI_Comm_split(MPI_COMM_WORLD, rank % 3 == 1 ? MPI_UNDEFINED : rank % 3, 0, &made));
    CHECK((made == MPI_COMM_NULL) == (rank % 3 == 1));
    if (made != MPI_COMM_NULL) {
        around(made, 8);
        OK(MPI_Comm_free(&made));
    }
    OK(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &made));
    CHECK(made != MPI_COMM_NULL);
    around(made, 9);
    /* All of it are of one node, so of its parts. */
    OK(MPI_Comm_split_type(made, MPI_COMM_TYPE_SHARED, -comm_rank(made), MPI_INFO_NULL, &again));
    CHECK(comm_size(again) == comm_size(made));
    CHECK(comm_rank(again) == comm_size(made) - 1 - comm_rank(made));
    OK(MPI_Comm_free(&again));
    OK(MPI_Comm_split_type(made, rank ? MPI_UNDEFINED : MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL,
                           &again));
    CHECK((again == MPI_COMM_NULL) == (rank != 0));
    if (again != MPI_COMM_NULL) OK(MPI_Comm_free(&again));
    OK(MPI_Comm_split_type(made, MPI_COMM_TYPE_HW_GUIDED, 0, MPI_INFO_NULL, &again));
    CHECK(again == MPI_COMM_NULL);
    OK(MPI_Info_create(&info));
    OK(MPI_Info_set(info, "mpi_hw_resource_type", "no such thing"));
    OK(MPI_Comm_split_type(made, MPI_COMM_TYPE_HW_GUIDED, 0, info, &again));
    CHECK(again == MPI_COMM_NULL);
    OK(MPI_Info_set(info, "mpi_hw_resource_type", "mpi_shared_memory"));
    OK(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_HW_GUIDED, 0, info, &again));
    CHECK(comm_compare(made, again) == MPI_CONGRUENT);
    OK(MPI_Comm_free(&again));
    OK(MPI_Info_free(&info));
    /* Smaller and smaller, until it ends. */
    MPI_Comm part = made;
    for (int deep = 0; part != MPI_COMM_NULL; deep++) {
        int before = comm_size(part);
        CHECK(deep < 20);
        OK(MPI_Comm_split_type(part, MPI_COMM_TYPE_HW_UNGUIDED, rank, MPI_INFO_NULL, &again));
        CHECK(again == MPI_COMM_NULL || comm_size(again) < before);
        OK(MPI_Comm_free(&part));
        part = again;
    }
    /* By a set of processes. */
#ifdef __wasm__
    for (int self = 0; self < 2; self++) {
        OK(MPI_Info_create(&info));
        OK(MPI_Info_set(info, "mpi_pset_name", self ? "mpi://SELF" : "mpi://WORLD"));
        OK(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_RESOURCE_GUIDED, 0, info, &made));
        CHECK(comm_size(made) == (self ? 1 : size));
        around(made, 10);
        OK(MPI_Comm_free(&made));
        OK(MPI_Info_free(&info));
    }
#endif
}

/* Hints are a communicator's own. */
static int hinted(MPI_Comm comm, const char *key, const char *expected) {
    MPI_Info info;
    char value[100];
    int flag, room = sizeof value;
    OK(MPI_Comm_get_info(comm, &info));
    OK(MPI_Info_get_string(info, key, &room, value, &flag));
    OK(MPI_Info_free(&info));
    return flag && strcmp(value, expected) == 0;
}

static void hints(void) {
    MPI_Comm comm, copy, later;
    MPI_Info info;
    MPI_Request request;
    OK(MPI_Info_create(&info));
    OK(MPI_Info_set(info, "mpi_assert_no_any_tag", "false"));
    OK(MPI_Info_set(info, "nobody_knows_this", "1"));
    OK(MPI_Comm_dup_with_info(MPI_COMM_WORLD, info, &comm));
    OK(MPI_Info_set(info, "mpi_assert_no_any_source", "false"));
    OK(MPI_Comm_set_info(comm, info));
    OK(MPI_Comm_idup_with_info(comm, info, &later, &request));
    OK(MPI_Info_free(&info));
    OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    OK(MPI_Comm_dup(comm, &copy));
#ifdef __wasm__
    CHECK(hinted(comm, "nobody_knows_this", "1") && hinted(comm, "mpi_assert_no_any_source", "false"));
    CHECK(hinted(later, "nobody_knows_this", "1") && !hinted(copy, "nobody_knows_this", "1"));
#else
    hinted(comm, "nobody_knows_this", "1");
#endif
    around(comm, 1);
    around(copy, 2);
    around(later, 3);
    OK(MPI_Comm_free(&comm));
    OK(MPI_Comm_free(&copy));
    OK(MPI_Comm_free(&later));
}

/* Copies that are made beside each other, and beside other things of the same communicator. */
static void later(void) {
    enum { MANY = 40 };
    MPI_Comm made[MANY];
    MPI_Request requests[MANY];
    int sum = 0, in[MANY], outcome;
    for (int i = 0; i < MANY; i++) {
        if (i % 2) OK(MPI_Comm_idup(MPI_COMM_WORLD, &made[i], &requests[i]));
        else OK(MPI_Iallreduce(&rank, &in[i], 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD, &requests[i]));
    }
    OK(MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD));
    CHECK(sum == size * (size - 1) / 2);
    for (int left = MANY, index; left > 0; left--) {
        OK(MPI_Waitany(MANY, requests, &index, MPI_STATUS_IGNORE));
        if (index % 2 == 0) CHECK(in[index] == sum);
    }
    for (int i = 1; i < MANY; i += 2) {
        OK(MPI_Comm_compare(MPI_COMM_WORLD, made[i], &outcome));
        CHECK(outcome == MPI_CONGRUENT);
        if (i % 10 == 1) around(made[i], i);
        OK(MPI_Comm_free(&made[i]));
    }
}

int main(int argc, char **argv) {
    OK(MPI_Init(&argc, &argv));
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    rank = comm_rank(MPI_COMM_WORLD);
    size = comm_size(MPI_COMM_WORLD);
    again_and_again();
    nested();
    freed_in_use();
    compared();
    of_groups();
    split();
    hints();
    later();
    OK(MPI_Finalize());
    return 0;
}
