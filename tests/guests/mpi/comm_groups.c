/* Groups: every operation, on groups of any number of ranks. */
#include "check.h"

static int size_of(MPI_Group group) {
    int size = -1;
    CHECK(MPI_Group_size(group, &size) == MPI_SUCCESS);
    return size;
}

static int alike(MPI_Group one, MPI_Group other) {
    int result = -1;
    CHECK(MPI_Group_compare(one, other, &result) == MPI_SUCCESS);
    return result;
}

/* The ranks of a group in the world. */
static void is(MPI_Group group, int count, const int *ranks) {
    MPI_Group world;
    int all[64], found[64];
    CHECK(size_of(group) == count);
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    for (int i = 0; i < count; i++) all[i] = i;
    CHECK(MPI_Group_translate_ranks(group, count, all, world, found) == MPI_SUCCESS);
    for (int i = 0; i < count; i++) CHECK(found[i] == ranks[i]);
    MPI_Group_free(&world);
    CHECK(world == MPI_GROUP_NULL);
}

int main(int argc, char **argv) {
    int rank, size, got, even[64], odd[64], back[64], evens = 0, odds = 0;
    MPI_Group world, some, other, made;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    CHECK(MPI_Comm_group(MPI_COMM_WORLD, &world) == MPI_SUCCESS);
    CHECK(size_of(world) == size);
    MPI_Group_rank(world, &got);
    CHECK(got == rank);
    for (int i = 0; i < size; i++) {
        if (i % 2) odd[odds++] = i; else even[evens++] = i;
        back[i] = size - 1 - i;
    }

    /* incl keeps the order given; excl that of the group */
    CHECK(MPI_Group_incl(world, evens, even, &some) == MPI_SUCCESS);
    is(some, evens, even);
    MPI_Group_rank(some, &got);
    CHECK(got == (rank % 2 ? MPI_UNDEFINED : rank / 2));
    CHECK(MPI_Group_excl(world, evens, even, &other) == MPI_SUCCESS);
    is(other, odds, odd);
    CHECK(odds > 0 || other == MPI_GROUP_EMPTY);
    CHECK(MPI_Group_incl(world, size, back, &made) == MPI_SUCCESS);
    is(made, size, back);
    CHECK(alike(world, made) == (size > 1 ? MPI_SIMILAR : MPI_IDENT));
    CHECK(alike(world, world) == MPI_IDENT);
    CHECK(alike(world, some) == (size > 1 ? MPI_UNEQUAL : MPI_IDENT));
    CHECK(alike(MPI_GROUP_EMPTY, MPI_GROUP_EMPTY) == MPI_IDENT);
    MPI_Group_free(&made);

    /* no ranks: the empty group; all but none: the group */
    CHECK(MPI_Group_incl(world, 0, NULL, &made) == MPI_SUCCESS && made == MPI_GROUP_EMPTY);
    CHECK(MPI_Group_excl(world, 0, NULL, &made) == MPI_SUCCESS && alike(made, world) == MPI_IDENT);
    MPI_Group_free(&made);
    CHECK(size_of(MPI_GROUP_EMPTY) == 0);
    MPI_Group_rank(MPI_GROUP_EMPTY, &got);
    CHECK(got == MPI_UNDEFINED);

    /* set operations: order is that of the first, then that of the second */
    CHECK(MPI_Group_union(other, some, &made) == MPI_SUCCESS);
    for (int i = 0; i < size; i++) back[i] = i < odds ? odd[i] : even[i - odds];
    is(made, size, back);
    MPI_Group_free(&made);
    CHECK(MPI_Group_intersection(some, other, &made) == MPI_SUCCESS && made == MPI_GROUP_EMPTY);
    CHECK(MPI_Group_free(&made) == MPI_SUCCESS && made == MPI_GROUP_NULL);
    CHECK(MPI_Group_difference(world, other, &made) == MPI_SUCCESS);
    CHECK(alike(made, some) == MPI_IDENT);
    MPI_Group_free(&made);
    CHECK(MPI_Group_union(MPI_GROUP_EMPTY, world, &made) == MPI_SUCCESS);
    CHECK(alike(made, world) == MPI_IDENT);
    MPI_Group_free(&made);

    /* ranges, down too */
    int ranges[2][3] = {{size - 1, 0, -2}, {(size + 1) % 2, size - 1, 2}};
    CHECK(MPI_Group_range_incl(world, 1, ranges, &made) == MPI_SUCCESS);
    CHECK(size_of(made) == (size + 1) / 2);
    MPI_Group_rank(made, &got);
    CHECK(got == ((size - 1 - rank) % 2 ? MPI_UNDEFINED : (size - 1 - rank) / 2));
    MPI_Group_free(&made);
    CHECK(MPI_Group_range_excl(world, 1, ranges, &made) == MPI_SUCCESS);
    CHECK(size_of(made) == size / 2);
    if (made != MPI_GROUP_EMPTY) MPI_Group_free(&made);
    CHECK(MPI_Group_range_incl(world, 0, ranges, &made) == MPI_SUCCESS && made == MPI_GROUP_EMPTY);

    /* translation: who is not there, and nobody */
    int ranks[3] = {size - 1, MPI_PROC_NULL, 0}, there[3];
    CHECK(MPI_Group_translate_ranks(world, 3, ranks, some, there) == MPI_SUCCESS);
    CHECK(there[0] == ((size - 1) % 2 ? MPI_UNDEFINED : (size - 1) / 2));
    CHECK(there[1] == MPI_PROC_NULL && there[2] == 0);
    CHECK(MPI_Group_translate_ranks(world, 0, NULL, some, NULL) == MPI_SUCCESS);

    MPI_Group_free(&some);
    if (other != MPI_GROUP_EMPTY) MPI_Group_free(&other);
    CHECK(MPI_Comm_group(MPI_COMM_SELF, &some) == MPI_SUCCESS);
    is(some, 1, &rank);
    MPI_Group_free(&some);
    MPI_Group_free(&world);
    MPI_Finalize();
    return 0;
}
