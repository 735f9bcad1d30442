/* Communicators: every way to make one within a group. */
#include "comm_shared.h"

static int rank, size;

static void copies(void) {
    MPI_Comm one, two;
    CHECK(MPI_Comm_dup(MPI_COMM_WORLD, &one) == MPI_SUCCESS);
    CHECK(MPI_Comm_dup(one, &two) == MPI_SUCCESS);
    CHECK(one != two && comm_rank(two) == rank && comm_size(two) == size);
    CHECK(comm_compare(one, two) == MPI_CONGRUENT);
    CHECK(comm_compare(one, one) == MPI_IDENT);
    CHECK(comm_compare(MPI_COMM_WORLD, MPI_COMM_SELF) == (size > 1 ? MPI_UNEQUAL : MPI_CONGRUENT));
    /* messages of one do not come in the other */
    if (size > 1 && rank < 2) {
        int a = 1, b = 2, got = 0;
        if (rank == 0) {
            MPI_Send(&a, 1, MPI_INT, 1, 9, one);
            MPI_Send(&b, 1, MPI_INT, 1, 9, two);
        } else {
            MPI_Recv(&got, 1, MPI_INT, 0, 9, two, MPI_STATUS_IGNORE);
            CHECK(got == 2);
            MPI_Recv(&got, 1, MPI_INT, 0, 9, one, MPI_STATUS_IGNORE);
            CHECK(got == 1);
        }
    }
    around(one, 1);
    around(two, 2);
    CHECK(MPI_Comm_free(&one) == MPI_SUCCESS && one == MPI_COMM_NULL);
    around(two, 3);
    CHECK(MPI_Comm_disconnect(&two) == MPI_SUCCESS && two == MPI_COMM_NULL);
    CHECK(MPI_Comm_dup(MPI_COMM_SELF, &one) == MPI_SUCCESS && comm_size(one) == 1);
    CHECK(comm_compare(one, MPI_COMM_SELF) == MPI_CONGRUENT);
    MPI_Comm_free(&one);
}

static void parts(void) {
    MPI_Comm made, again;
    MPI_Group world, some;
    /* by color; keys turn the order around, and where they are the same ranks decide */
    CHECK(MPI_Comm_split(MPI_COMM_WORLD, rank % 3, -rank, &made) == MPI_SUCCESS);
    int members = (size - rank % 3 + 2) / 3;
    CHECK(comm_size(made) == members && comm_rank(made) == members - 1 - rank / 3);
    around(made, rank % 3);
    CHECK(MPI_Comm_split(made, 5, 0, &again) == MPI_SUCCESS);
    CHECK(comm_compare(made, again) == MPI_CONGRUENT);
    around(again, 4);
    MPI_Comm_free(&again);
    CHECK(MPI_Comm_split(made, 5, -comm_rank(made), &again) == MPI_SUCCESS);
    CHECK(comm_compare(made, again) == (members > 1 ? MPI_SIMILAR : MPI_CONGRUENT));
    MPI_Comm_free(&again);
    MPI_Comm_free(&made);
    int color = rank == size - 1 ? MPI_UNDEFINED : 0;
    CHECK(MPI_Comm_split(MPI_COMM_WORLD, color, 0, &made) == MPI_SUCCESS);
    if (color == MPI_UNDEFINED) {
        CHECK(made == MPI_COMM_NULL);
    } else {
        CHECK(comm_size(made) == size - 1 && comm_rank(made) == rank);
        around(made, 7);
        MPI_Comm_free(&made);
    }
    /* of a node: here all are of one */
    CHECK(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &made) == 0);
    CHECK(comm_compare(made, MPI_COMM_WORLD) == MPI_CONGRUENT);
    MPI_Comm_free(&made);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_UNDEFINED, 0, MPI_INFO_NULL, &made);
    CHECK(made == MPI_COMM_NULL);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_HW_UNGUIDED, 0, MPI_INFO_NULL, &made);
    CHECK(made == MPI_COMM_NULL);
    /* groups that are apart, each its own communicator, in one call; in reverse order */
    int mine[64], count = 0;
    for (int i = size - 1; i >= 0; i--)
        if (i % 2 == rank % 2) mine[count++] = i;
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    MPI_Group_incl(world, count, mine, &some);
    CHECK(MPI_Comm_create(MPI_COMM_WORLD, some, &made) == MPI_SUCCESS);
    CHECK(comm_size(made) == count && mine[comm_rank(made)] == rank);
    around(made, rank % 2);
    MPI_Comm_free(&made);
    /* only the members call, with a tag */
    if (rank % 2 == 0) {
        CHECK(MPI_Comm_create_group(MPI_COMM_WORLD, some, 11, &made) == MPI_SUCCESS);
        CHECK(comm_size(made) == count && mine[comm_rank(made)] == rank);
        around(made, 5);
        MPI_Comm_free(&made);
    }
    MPI_Group_free(&some);
    /* who is outside gets none */
    MPI_Group_incl(world, 1, (int[]){size - 1}, &some);
    CHECK(MPI_Comm_create(MPI_COMM_WORLD, some, &made) == MPI_SUCCESS);
    CHECK((made == MPI_COMM_NULL) == (rank != size - 1));
    if (made != MPI_COMM_NULL) MPI_Comm_free(&made);
    CHECK(MPI_Comm_create(MPI_COMM_WORLD, MPI_GROUP_EMPTY, &made) == MPI_SUCCESS);
    CHECK(made == MPI_COMM_NULL);
    MPI_Group_free(&some);
    MPI_Group_free(&world);
}

static void names(void) {
    char name[MPI_MAX_OBJECT_NAME], longer[2 * MPI_MAX_OBJECT_NAME];
    int len = -1;
    MPI_Comm made;
    MPI_Comm_get_name(MPI_COMM_WORLD, name, &len);
    CHECK(strcmp(name, "MPI_COMM_WORLD") == 0 && len == 14);
    MPI_Comm_get_name(MPI_COMM_SELF, name, &len);
    CHECK(strcmp(name, "MPI_COMM_SELF") == 0);
    MPI_Comm_get_name(MPI_COMM_NULL, name, &len);
    CHECK(strcmp(name, "MPI_COMM_NULL") == 0);
    MPI_Comm_set_name(MPI_COMM_WORLD, "all of us");
    MPI_Comm_dup(MPI_COMM_WORLD, &made);
    MPI_Comm_get_name(MPI_COMM_WORLD, name, &len);
    CHECK(strcmp(name, "all of us") == 0 && len == 9);
    /* a copy has no name yet */
    MPI_Comm_get_name(made, name, &len);
    CHECK(name[0] == 0 && len == 0);
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = 0;
    CHECK(MPI_Comm_set_name(made, longer) == MPI_SUCCESS);
    MPI_Comm_get_name(made, name, &len);
    CHECK(len == MPI_MAX_OBJECT_NAME - 1 && (int)strlen(name) == len);
    MPI_Comm_free(&made);
}

/* Many communicators live at once, and none hears of another. */
static void many(void) {
    MPI_Comm made[40];
    for (int i = 0; i < 40; i++) MPI_Comm_split(i ? made[i - 1] : MPI_COMM_WORLD, 0, rank, &made[i]);
    for (int i = 39; i >= 0; i--) around(made[i], i);
    for (int i = 0; i < 40; i++) MPI_Comm_free(&made[i]);
}

static void of_a_group(void) {
    MPI_Comm made;
    MPI_Group world, low;
    int half = (size + 1) / 2;
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    int all = MPI_Comm_create_from_group(world, "all", MPI_INFO_NULL, MPI_ERRORS_RETURN, &made);
    CHECK(all == MPI_SUCCESS && comm_compare(made, MPI_COMM_WORLD) == MPI_CONGRUENT);
    around(made, 2);
    MPI_Comm_free(&made);
    int range[1][3] = {{rank < half ? 0 : half, rank < half ? half - 1 : size - 1, 1}};
    MPI_Group_range_incl(world, 1, range, &low);
    /* both halves use the same name */
    MPI_Comm_create_from_group(low, "half", MPI_INFO_NULL, MPI_ERRORS_RETURN, &made);
    CHECK(comm_size(made) == (rank < half ? half : size - half));
    around(made, rank < half);
    MPI_Comm_free(&made);
    MPI_Comm_create_from_group(MPI_GROUP_EMPTY, "none", MPI_INFO_NULL, MPI_ERRORS_RETURN, &made);
    CHECK(made == MPI_COMM_NULL);
    MPI_Group_free(&low);
    MPI_Group_free(&world);
}

int main(int argc, char **argv) {
    int flag = 1;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_test_inter(MPI_COMM_WORLD, &flag);
    CHECK(flag == 0);
    CHECK(MPI_Comm_fromint(MPI_Comm_toint(MPI_COMM_SELF)) == MPI_COMM_SELF);
    copies();
    parts();
    names();
    many();
    of_a_group();
    around(MPI_COMM_WORLD, 1);
    MPI_Finalize();
    return 0;
}
