/* Constructors: bounds as the standard says, and every argument comes back from the contents. */
#include "check.h"

static void bounds(MPI_Datatype type, MPI_Aint lb, MPI_Aint extent, MPI_Aint true_lb,
                   MPI_Aint true_extent, int size) {
    MPI_Aint a, b, c, d;
    MPI_Count e, f;
    int bytes;
    MPI_Type_get_extent(type, &a, &b);
    MPI_Type_get_true_extent(type, &c, &d);
    MPI_Type_get_true_extent_x(type, &e, &f);
    MPI_Type_size(type, &bytes);
    if (a != lb || b != extent || c != true_lb || d != true_extent || bytes != size || e != c ||
        f != d) {
        fprintf(stderr, "bounds: %d %d, %d %d, %d bytes\n", (int)a, (int)b, (int)c, (int)d, bytes);
        exit(1);
    }
}

/* Sees that the type has these contents, and that its first part is `old`; frees it. */
static void made_of(MPI_Datatype type, int combiner, int integers, const int *expected,
                    int addresses, const MPI_Aint *places, int types, MPI_Datatype old) {
    int ni, na, nd, kind, numbers[32];
    MPI_Aint at[8];
    MPI_Datatype parts[8];
    CHECK(MPI_Type_get_envelope(type, &ni, &na, &nd, &kind) == MPI_SUCCESS);
    CHECK(kind == combiner && ni == integers && na == addresses && nd == types);
    CHECK(MPI_Type_get_contents(type, 32, 8, 8, numbers, at, parts) == MPI_SUCCESS);
    CHECK(memcmp(numbers, expected, integers * sizeof(int)) == 0);
    CHECK(memcmp(at, places, addresses * sizeof(MPI_Aint)) == 0);
    CHECK(types == 0 || parts[0] == old);
    if (integers > 0) {
        FAILS(MPI_ERR_ARG, MPI_Type_get_contents(type, ni - 1, na, nd, numbers, at, parts));
    }
    if (types > 0) {
        FAILS(MPI_ERR_ARG, MPI_Type_get_contents(type, ni, na, nd - 1, numbers, at, parts));
    }
    MPI_Count large[4] = {9, 9, 9, 9};
    CHECK(MPI_Type_get_envelope_c(type, large, large + 1, large + 2, large + 3, &kind) == 0);
    CHECK(large[0] == ni && large[1] == na && large[2] == 0 && large[3] == nd);
    MPI_Type_free(&type);
}

#define INTS(...) (int[]){__VA_ARGS__}
#define PLACES(...) (MPI_Aint[]){__VA_ARGS__}
#define COUNT(array) (int)(sizeof(array) / sizeof(*array))

static void small(void) {
    MPI_Datatype type;
    int lengths[] = {2, 0, 3}, at[] = {4, 7, -1};
    MPI_Aint far[] = {16, 100, -8};
    MPI_Datatype parts[] = {MPI_INT, MPI_DOUBLE, MPI_CHAR};

    MPI_Type_contiguous(3, MPI_SHORT, &type);
    bounds(type, 0, 6, 0, 6, 6);
    made_of(type, MPI_COMBINER_CONTIGUOUS, 1, INTS(3), 0, far, 1, MPI_SHORT);
    MPI_Type_vector(2, 3, 4, MPI_DOUBLE, &type);
    bounds(type, 0, 56, 0, 56, 48);
    made_of(type, MPI_COMBINER_VECTOR, 3, INTS(2, 3, 4), 0, far, 1, MPI_DOUBLE);
    MPI_Type_vector(2, 1, -3, MPI_INT, &type);
    bounds(type, -12, 16, -12, 16, 8);
    MPI_Type_free(&type);
    MPI_Type_create_hvector(3, 1, 10, MPI_SHORT, &type);
    bounds(type, 0, 22, 0, 22, 6);
    made_of(type, MPI_COMBINER_HVECTOR, 2, INTS(3, 1), 1, PLACES(10), 1, MPI_SHORT);
    MPI_Type_indexed(3, lengths, at, MPI_INT, &type);
    bounds(type, -4, 28, -4, 28, 20);
    made_of(type, MPI_COMBINER_INDEXED, 7, INTS(3, 2, 0, 3, 4, 7, -1), 0, far, 1, MPI_INT);
    MPI_Type_create_hindexed(3, lengths, far, MPI_INT, &type);
    bounds(type, -8, 32, -8, 32, 20);
    made_of(type, MPI_COMBINER_HINDEXED, 4, INTS(3, 2, 0, 3), 3, far, 1, MPI_INT);
    MPI_Type_create_indexed_block(3, 2, at, MPI_INT, &type);
    bounds(type, -4, 40, -4, 40, 24);
    made_of(type, MPI_COMBINER_INDEXED_BLOCK, 5, INTS(3, 2, 4, 7, -1), 0, far, 1, MPI_INT);
    MPI_Type_create_hindexed_block(3, 2, far, MPI_CHAR, &type);
    bounds(type, -8, 110, -8, 110, 6);
    made_of(type, MPI_COMBINER_HINDEXED_BLOCK, 2, INTS(3, 2), 3, far, 1, MPI_CHAR);
    MPI_Type_create_struct(3, lengths, far, parts, &type);
    bounds(type, -8, 32, -8, 32, 11);
    made_of(type, MPI_COMBINER_STRUCT, 4, INTS(3, 2, 0, 3), 3, far, 3, MPI_INT);
    MPI_Type_create_resized(MPI_INT, -4, 20, &type);
    bounds(type, -4, 20, 0, 4, 4);
    made_of(type, MPI_COMBINER_RESIZED, 0, at, 2, PLACES(-4, 20), 1, MPI_INT);
    MPI_Type_dup(MPI_FLOAT, &type);
    bounds(type, 0, 4, 0, 4, 4);
    made_of(type, MPI_COMBINER_DUP, 0, at, 0, far, 1, MPI_FLOAT);
    MPI_Type_contiguous(0, MPI_INT, &type);
    bounds(type, 0, 0, 0, 0, 0);
    MPI_Type_free(&type);
    MPI_Type_create_struct(0, lengths, far, parts, &type);
    bounds(type, 0, 0, 0, 0, 0);
    MPI_Type_free(&type);
}

static void arrays(void) {
    MPI_Datatype type;
    MPI_Aint none[1];
    MPI_Type_create_subarray(2, INTS(4, 6), INTS(2, 3), INTS(1, 2), MPI_ORDER_C, MPI_INT, &type);
    bounds(type, 0, 96, 32, 36, 24);
    made_of(type, MPI_COMBINER_SUBARRAY, 8, INTS(2, 4, 6, 2, 3, 1, 2, MPI_ORDER_C), 0, none, 1,
            MPI_INT);
    MPI_Type_create_subarray(2, INTS(4, 6), INTS(2, 3), INTS(1, 2), MPI_ORDER_FORTRAN, MPI_INT,
                             &type);
    bounds(type, 0, 96, 36, 40, 24);
    MPI_Type_free(&type);
    MPI_Type_create_darray(6, 4, 2, INTS(5, 7), INTS(MPI_DISTRIBUTE_BLOCK, MPI_DISTRIBUTE_CYCLIC),
                           INTS(MPI_DISTRIBUTE_DFLT_DARG, 2), INTS(3, 2), MPI_ORDER_C, MPI_INT,
                           &type);
    /* Row 4 only; columns 0, 1, 4, 5. */
    bounds(type, 0, 140, 112, 24, 16);
    made_of(type, MPI_COMBINER_DARRAY, 12,
            INTS(6, 4, 2, 5, 7, MPI_DISTRIBUTE_BLOCK, MPI_DISTRIBUTE_CYCLIC,
                 MPI_DISTRIBUTE_DFLT_DARG, 2, 3, 2, MPI_ORDER_C),
            0, none, 1, MPI_INT);
    FAILS(MPI_ERR_ARG, MPI_Type_create_darray(6, 6, 1, INTS(5), INTS(MPI_DISTRIBUTE_BLOCK), INTS(1),
                                              INTS(6), MPI_ORDER_C, MPI_INT, &type));
    FAILS(MPI_ERR_ARG, MPI_Type_create_darray(6, 1, 1, INTS(7), INTS(MPI_DISTRIBUTE_BLOCK), INTS(1),
                                              INTS(6), MPI_ORDER_C, MPI_INT, &type));
    FAILS(MPI_ERR_ARG, MPI_Type_create_darray(6, 1, 1, INTS(7), INTS(MPI_DISTRIBUTE_NONE), INTS(1),
                                              INTS(6), MPI_ORDER_C, MPI_INT, &type));
}

/* Bounds given once hold for all that is made of the type. */
static void marks(void) {
    MPI_Datatype wide, type;
    MPI_Type_create_resized(MPI_INT, -8, 100, &wide);
    MPI_Type_create_struct(2, INTS(1, 1), PLACES(0, 400), (MPI_Datatype[]){wide, MPI_INT}, &type);
    bounds(type, -8, 100, 0, 404, 8);
    MPI_Type_free(&type);
    MPI_Type_vector(2, 1, 2, wide, &type);
    bounds(type, -8, 300, 0, 204, 8);
    MPI_Type_free(&type);
    MPI_Type_free(&wide);
    /* Alignment: as the compiler pads. */
    MPI_Type_create_struct(2, INTS(1, 1), PLACES(0, 8), (MPI_Datatype[]){MPI_DOUBLE, MPI_CHAR},
                           &type);
    bounds(type, 0, 16, 0, 9, 9);
    MPI_Type_free(&type);
}

/* A part that is no predefined type comes as a new handle, which outlives the first one. */
static void parts(void) {
    MPI_Datatype inner, outer, part, again;
    int numbers[3], kind, ni, na, nd;
    MPI_Aint at[1];
    MPI_Type_vector(2, 1, 3, MPI_INT, &inner);
    MPI_Type_contiguous(2, inner, &outer);
    MPI_Type_free(&inner);
    MPI_Type_get_contents(outer, 1, 0, 1, numbers, at, &part);
    MPI_Type_free(&outer);
    bounds(part, 0, 16, 0, 16, 8);
    MPI_Type_get_envelope(part, &ni, &na, &nd, &kind);
    CHECK(kind == MPI_COMBINER_VECTOR);
    MPI_Type_get_contents(part, 3, 0, 1, numbers, at, &again);
    CHECK(numbers[2] == 3 && again == MPI_INT);
    CHECK(MPI_Type_commit(&part) == MPI_SUCCESS && MPI_Type_free(&part) == MPI_SUCCESS);
    /* A duplicate is committed if the type was. */
    int two[2] = {1, 2}, sum = 0;
    MPI_Type_contiguous(2, MPI_INT, &inner);
    MPI_Type_dup(inner, &outer);
    FAILS(MPI_ERR_TYPE, MPI_Send(two, 1, outer, 0, 0, MPI_COMM_SELF));
    MPI_Type_free(&outer);
    MPI_Type_commit(&inner);
    MPI_Type_dup(inner, &outer);
    MPI_Type_free(&inner);
    CHECK(MPI_Pack_size(1, outer, MPI_COMM_SELF, &sum) == MPI_SUCCESS && sum == 8);
    MPI_Type_free(&outer);
}

static void addresses(void) {
    int numbers[4];
    MPI_Aint a, b;
    MPI_Get_address(&numbers[1], &a);
    MPI_Get_address(&numbers[3], &b);
    CHECK(a == (MPI_Aint)&numbers[1] && MPI_Aint_diff(b, a) == 8 && MPI_Aint_add(a, 8) == b);
    CHECK(MPI_Aint_diff(a, b) == -8 && PMPI_Aint_add(b, -8) == a);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    small();
    arrays();
    marks();
    parts();
    addresses();
    MPI_Finalize();
    return 0;
}
