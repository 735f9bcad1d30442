/* Large counts: what does not fit into an int is MPI_UNDEFINED there, and right elsewhere; the
 * arguments come back among the large counts. */
#include "check.h"

#define BILLION 1000000000LL
#define COUNTS(...) (MPI_Count[]){__VA_ARGS__}

static void contents(MPI_Datatype type, int combiner, int integers, int counts,
                     const MPI_Count *expected, int types) {
    MPI_Count ni, na, nc, nd, large[8];
    int kind, numbers[16], a, b, c;
    MPI_Aint at[1];
    MPI_Datatype parts[4];
    CHECK(MPI_Type_get_envelope_c(type, &ni, &na, &nc, &nd, &kind) == MPI_SUCCESS);
    CHECK(kind == combiner && ni == integers && na == 0 && nc == counts && nd == types);
    CHECK(MPI_Type_get_contents_c(type, 16, 1, 8, 4, numbers, at, large, parts) == MPI_SUCCESS);
    CHECK(memcmp(large, expected, counts * sizeof(MPI_Count)) == 0);
    CHECK(parts[0] == MPI_INT);
    FAILS(MPI_ERR_ARG, MPI_Type_get_contents_c(type, 16, 1, counts - 1, 4, numbers, at, large,
                                               parts));
    FAILS(MPI_ERR_TYPE, MPI_Type_get_envelope(type, &a, &b, &c, &kind));
    FAILS(MPI_ERR_TYPE, MPI_Type_get_contents(type, 16, 1, 4, numbers, at, parts));
    MPI_Type_free(&type);
}

static void made(void) {
    MPI_Datatype type, two[2] = {MPI_INT, MPI_CHAR};
    MPI_Type_contiguous_c(3 * BILLION, MPI_INT, &type);
    contents(type, MPI_COMBINER_CONTIGUOUS, 0, 1, COUNTS(3 * BILLION), 1);
    MPI_Type_vector_c(3, 2, 5 * BILLION, MPI_INT, &type);
    contents(type, MPI_COMBINER_VECTOR, 0, 3, COUNTS(3, 2, 5 * BILLION), 1);
    MPI_Type_create_hvector_c(3, 2, 5 * BILLION, MPI_INT, &type);
    contents(type, MPI_COMBINER_HVECTOR, 0, 3, COUNTS(3, 2, 5 * BILLION), 1);
    MPI_Type_indexed_c(2, COUNTS(1, 2), COUNTS(7, 5 * BILLION), MPI_INT, &type);
    contents(type, MPI_COMBINER_INDEXED, 0, 5, COUNTS(2, 1, 2, 7, 5 * BILLION), 1);
    MPI_Type_create_hindexed_c(2, COUNTS(1, 2), COUNTS(7, 5 * BILLION), MPI_INT, &type);
    contents(type, MPI_COMBINER_HINDEXED, 0, 5, COUNTS(2, 1, 2, 7, 5 * BILLION), 1);
    MPI_Type_create_indexed_block_c(2, 4, COUNTS(7, 5 * BILLION), MPI_INT, &type);
    contents(type, MPI_COMBINER_INDEXED_BLOCK, 0, 4, COUNTS(2, 4, 7, 5 * BILLION), 1);
    MPI_Type_create_hindexed_block_c(2, 4, COUNTS(7, 5 * BILLION), MPI_INT, &type);
    contents(type, MPI_COMBINER_HINDEXED_BLOCK, 0, 4, COUNTS(2, 4, 7, 5 * BILLION), 1);
    MPI_Type_create_struct_c(2, COUNTS(1, 2), COUNTS(8, 5 * BILLION), two, &type);
    contents(type, MPI_COMBINER_STRUCT, 0, 5, COUNTS(2, 1, 2, 8, 5 * BILLION), 2);
    MPI_Type_create_resized_c(MPI_INT, -4, 5 * BILLION, &type);
    contents(type, MPI_COMBINER_RESIZED, 0, 2, COUNTS(-4, 5 * BILLION), 1);
    MPI_Type_create_subarray_c(2, COUNTS(BILLION, 9), COUNTS(2, 3), COUNTS(1, 2), MPI_ORDER_C,
                               MPI_INT, &type);
    contents(type, MPI_COMBINER_SUBARRAY, 2, 6, COUNTS(BILLION, 9, 2, 3, 1, 2), 1);
    MPI_Type_create_darray_c(2, 1, 1, COUNTS(5 * BILLION), (int[]){MPI_DISTRIBUTE_BLOCK},
                             (int[]){MPI_DISTRIBUTE_DFLT_DARG}, (int[]){2}, MPI_ORDER_C, MPI_INT,
                             &type);
    contents(type, MPI_COMBINER_DARRAY, 7, 1, COUNTS(5 * BILLION), 1);
}

static void sizes(void) {
    MPI_Datatype type;
    int size;
    MPI_Aint lb, extent;
    MPI_Count big, low, far;
    MPI_Type_vector_c(BILLION, 1, 2, MPI_INT, &type);
    MPI_Type_size(type, &size);
    CHECK(size == MPI_UNDEFINED);
    MPI_Type_size_c(type, &big);
    CHECK(big == 4 * BILLION);
    MPI_Type_get_extent(type, &lb, &extent);
    CHECK(lb == 0 && extent == MPI_UNDEFINED);
    MPI_Type_get_extent_c(type, &low, &far);
    CHECK(low == 0 && far == 8 * BILLION - 4);
    MPI_Type_get_true_extent(type, &lb, &extent);
    CHECK(lb == 0 && extent == MPI_UNDEFINED);
    MPI_Type_commit(&type);
    MPI_Pack_size(1, type, MPI_COMM_SELF, &size);
    CHECK(size == MPI_UNDEFINED);
    MPI_Pack_size_c(3, type, MPI_COMM_SELF, &big);
    CHECK(big == 12 * BILLION);
    MPI_Pack_external_size_c("external32", 3, type, &big);
    CHECK(big == 12 * BILLION);
    MPI_Type_free(&type);
    FAILS(MPI_ERR_ARG, MPI_Type_contiguous_c(INT64_MAX, MPI_INT, &type));
    FAILS(MPI_ERR_COUNT, MPI_Type_contiguous_c(-1, MPI_INT, &type));
}

/* Calls with and without `_c` move the same bytes. */
static void moved(void) {
    MPI_Datatype type;
    int in[6] = {1, 2, 3, 4, 5, 6}, out[3] = {0}, place = 0;
    MPI_Count at = 0;
    MPI_Type_vector_c(3, 1, 2, MPI_INT, &type);
    MPI_Type_commit(&type);
    CHECK(MPI_Pack_c(in, 1, type, out, sizeof out, &at, MPI_COMM_SELF) == MPI_SUCCESS);
    CHECK(at == 12 && out[0] == 1 && out[1] == 3 && out[2] == 5);
    out[2] = 50;
    CHECK(MPI_Unpack(out, sizeof out, &place, in, 1, type, MPI_COMM_SELF) == MPI_SUCCESS);
    CHECK(place == 12 && in[4] == 50 && in[5] == 6);
    MPI_Type_free(&type);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    made();
    sizes();
    moved();
    MPI_Finalize();
    return 0;
}
