/* Intercommunicators. */
#include "comm_shared.h"

static int rank, size;

/* The lower third and the rest, each in reverse order, with leaders in the middle. */
static MPI_Comm sides(int *low, MPI_Comm *mine) {
    MPI_Comm inter;
    int third = size / 3 ? size / 3 : 1;
    *low = rank < third;
    CHECK(MPI_Comm_split(MPI_COMM_WORLD, *low, -rank, mine) == MPI_SUCCESS);
    int leader = comm_size(*mine) / 2;
    /* the other leader, in the world */
    int there = *low ? size - third : third;
    int remote = (*low ? size - 1 : third - 1) - there / 2;
    CHECK(MPI_Intercomm_create(*mine, leader, MPI_COMM_WORLD, remote, 21, &inter) == MPI_SUCCESS);
    return inter;
}

static void whole(void) {
    MPI_Comm inter, mine, copy, merged;
    MPI_Group local, remote, both;
    int low, flag = 0, there, third = size / 3 ? size / 3 : 1, result;
    inter = sides(&low, &mine);
    MPI_Comm_test_inter(inter, &flag);
    CHECK(flag == 1);
    MPI_Comm_remote_size(inter, &there);
    CHECK(comm_size(inter) == (low ? third : size - third) && there == size - comm_size(inter));
    CHECK(comm_rank(inter) == comm_rank(mine));
    MPI_Comm_group(inter, &local);
    MPI_Comm_remote_group(inter, &remote);
    MPI_Group_intersection(local, remote, &both);
    CHECK(both == MPI_GROUP_EMPTY);
    across(inter, 1);

    CHECK(MPI_Comm_dup(inter, &copy) == MPI_SUCCESS);
    CHECK(comm_compare(inter, copy) == MPI_CONGRUENT && comm_compare(inter, inter) == MPI_IDENT);
    CHECK(comm_compare(inter, mine) == MPI_UNEQUAL);
    across(copy, 2);
    across(inter, 3);
    MPI_Comm_free(&copy);

    /* the group that is not high comes first, whichever it is */
    for (int high = 0; high < 2; high++) {
        CHECK(MPI_Intercomm_merge(inter, low == high, &merged) == MPI_SUCCESS);
        CHECK(comm_size(merged) == size);
        int after = low == high ? there : 0;
        CHECK(comm_rank(merged) == comm_rank(inter) + after);
        around(merged, high);
        MPI_Comm_free(&merged);
    }
    /* both the same: one of both orders, and all agree */
    CHECK(MPI_Intercomm_merge(inter, 0, &merged) == MPI_SUCCESS);
    MPI_Comm_group(merged, &both);
    MPI_Group_free(&both);
    CHECK(comm_size(merged) == size);
    around(merged, 4);
    MPI_Comm_free(&merged);
    MPI_Group_compare(local, remote, &result);
    CHECK(result == MPI_UNEQUAL);
    MPI_Group_free(&local);
    MPI_Group_free(&remote);
    CHECK(MPI_Comm_disconnect(&inter) == MPI_SUCCESS);
    MPI_Comm_free(&mine);
}

static void parts(void) {
    MPI_Comm inter, mine, made;
    MPI_Group local, some;
    int low, there;
    inter = sides(&low, &mine);
    int count = comm_size(inter);
    MPI_Comm_remote_size(inter, &there);

    /* by color: only colors of both sides give any */
    int color = comm_rank(inter) % 2;
    CHECK(MPI_Comm_split(inter, color, 0, &made) == MPI_SUCCESS);
    if (color == 1 && there < 2) {
        CHECK(made == MPI_COMM_NULL);
    } else {
        int far;
        MPI_Comm_remote_size(made, &far);
        CHECK(comm_size(made) == (count + 1 - color) / 2 && far == (there + 1 - color) / 2);
        CHECK(comm_rank(made) == comm_rank(inter) / 2);
        across(made, color);
        MPI_Comm_free(&made);
    }
    /* the last of one side and all of the other, the other way around */
    int order[64];
    MPI_Comm_group(inter, &local);
    for (int i = 0; i < count; i++) order[i] = count - 1 - i;
    MPI_Group_incl(local, low ? 1 : count, order, &some);
    CHECK(MPI_Comm_create(inter, some, &made) == MPI_SUCCESS);
    if (low && comm_rank(inter) != count - 1) {
        CHECK(made == MPI_COMM_NULL);
    } else {
        int far;
        MPI_Comm_remote_size(made, &far);
        CHECK(comm_size(made) == (low ? 1 : count) && far == (low ? there : 1));
        CHECK(comm_rank(made) == count - 1 - comm_rank(inter));
        across(made, 6);
        MPI_Comm_free(&made);
    }
    /* nobody of one side: none */
    CHECK(MPI_Comm_create(inter, low ? MPI_GROUP_EMPTY : some, &made) == MPI_SUCCESS);
    CHECK(made == MPI_COMM_NULL);
    MPI_Group_free(&some);
    MPI_Group_free(&local);
    MPI_Comm_free(&inter);
    MPI_Comm_free(&mine);
}

static void of_groups(void) {
    MPI_Comm inter;
    MPI_Group world, low, high;
    int half = size / 2;
    int lower[1][3] = {{0, half - 1, 1}}, upper[1][3] = {{half, size - 1, 1}};
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    MPI_Group_range_incl(world, 1, lower, &low);
    MPI_Group_range_incl(world, 1, upper, &high);
    int first = rank < half;
    MPI_Intercomm_create_from_groups(first ? low : high, 0, first ? high : low, 0, "halves",
                                     MPI_INFO_NULL, MPI_ERRORS_RETURN, &inter);
    CHECK(comm_size(inter) == (first ? half : size - half));
    across(inter, 8);
    MPI_Comm_free(&inter);
    MPI_Group_free(&low);
    MPI_Group_free(&high);
    MPI_Group_free(&world);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    whole();
    parts();
    of_groups();
    MPI_Finalize();
    return 0;
}
