/* Predefined types: names, sizes and bounds are those of the C types; what may not be done to
 * them; types chosen by precision, size, or value and index. */
#include "check.h"

#include <stdbool.h>
#include <stddef.h>
#include <wchar.h>

struct short_int { short value; int index; };
struct double_int { double value; int index; };
struct long_double_int { long double value; int index; };

static void named(MPI_Datatype type, const char *name, int size, int extent) {
    char text[MPI_MAX_OBJECT_NAME];
    int length, bytes;
    MPI_Aint lb, span;
    MPI_Count big, low, far;
    CHECK(MPI_Type_get_name(type, text, &length) == MPI_SUCCESS);
    if (strcmp(text, name) != 0 || length != (int)strlen(name)) {
        fprintf(stderr, "%s is called %s\n", name, text);
        exit(1);
    }
    MPI_Type_size(type, &bytes);
    MPI_Type_get_extent(type, &lb, &span);
    if (bytes != size || lb != 0 || span != extent) {
        fprintf(stderr, "%s: %d bytes, from %d, %d apart\n", name, bytes, (int)lb, (int)span);
        exit(1);
    }
    MPI_Type_size_x(type, &big);
    MPI_Type_get_extent_x(type, &low, &far);
    CHECK(big == size && low == 0 && far == extent);
    MPI_Type_size_c(type, &big);
    MPI_Type_get_extent_c(type, &low, &far);
    CHECK(big == size && low == 0 && far == extent);
    int integers = 9, addresses = 9, types = 9, combiner;
    MPI_Type_get_envelope(type, &integers, &addresses, &types, &combiner);
    CHECK(combiner == MPI_COMBINER_NAMED && integers == 0 && addresses == 0 && types == 0);
    CHECK(MPI_Type_commit(&type) == MPI_SUCCESS);
    CHECK(MPI_Type_fromint(MPI_Type_toint(type)) == type);
}

#define NAMED(type, c) named(type, #type, sizeof(c), sizeof(c))

static void sizes(void) {
    NAMED(MPI_CHAR, char);
    NAMED(MPI_SIGNED_CHAR, signed char);
    NAMED(MPI_UNSIGNED_CHAR, unsigned char);
    NAMED(MPI_BYTE, char);
    NAMED(MPI_PACKED, char);
    NAMED(MPI_SHORT, short);
    NAMED(MPI_UNSIGNED_SHORT, unsigned short);
    NAMED(MPI_INT, int);
    NAMED(MPI_UNSIGNED, unsigned);
    NAMED(MPI_LONG, long);
    NAMED(MPI_UNSIGNED_LONG, unsigned long);
    NAMED(MPI_LONG_LONG, long long);
    NAMED(MPI_UNSIGNED_LONG_LONG, unsigned long long);
    NAMED(MPI_FLOAT, float);
    NAMED(MPI_DOUBLE, double);
    NAMED(MPI_LONG_DOUBLE, long double);
    NAMED(MPI_WCHAR, wchar_t);
    NAMED(MPI_C_BOOL, bool);
    NAMED(MPI_C_FLOAT_COMPLEX, float _Complex);
    NAMED(MPI_C_DOUBLE_COMPLEX, double _Complex);
    NAMED(MPI_C_LONG_DOUBLE_COMPLEX, long double _Complex);
    NAMED(MPI_INT8_T, int8_t);
    NAMED(MPI_INT16_T, int16_t);
    NAMED(MPI_INT32_T, int32_t);
    NAMED(MPI_INT64_T, int64_t);
    NAMED(MPI_UINT8_T, uint8_t);
    NAMED(MPI_UINT16_T, uint16_t);
    NAMED(MPI_UINT32_T, uint32_t);
    NAMED(MPI_UINT64_T, uint64_t);
    NAMED(MPI_AINT, MPI_Aint);
    NAMED(MPI_COUNT, MPI_Count);
    NAMED(MPI_OFFSET, MPI_Offset);
    NAMED(MPI_INTEGER, MPI_Fint);
    NAMED(MPI_DOUBLE_COMPLEX, double[2]);
    named(MPI_SHORT_INT, "MPI_SHORT_INT", 6, sizeof(struct short_int));
    named(MPI_DOUBLE_INT, "MPI_DOUBLE_INT", 12, sizeof(struct double_int));
    named(MPI_LONG_DOUBLE_INT, "MPI_LONG_DOUBLE_INT", 20, sizeof(struct long_double_int));
    named(MPI_2INT, "MPI_2INT", 8, 8);
    CHECK(MPI_LONG_LONG_INT == MPI_LONG_LONG && MPI_C_COMPLEX == MPI_C_FLOAT_COMPLEX);
}

static void precision(void) {
    MPI_Datatype a, b, old;
    int size, integers, addresses, types, combiner, numbers[2];
    MPI_Aint none;
    CHECK(MPI_Type_create_f90_real(6, MPI_UNDEFINED, &a) == MPI_SUCCESS);
    CHECK(MPI_Type_create_f90_real(6, MPI_UNDEFINED, &b) == MPI_SUCCESS);
    MPI_Type_size(a, &size);
    CHECK(a == b && size == 4);
    MPI_Type_create_f90_real(15, 307, &a);
    MPI_Type_size(a, &size);
    CHECK(a != b && size == 8);
    MPI_Type_get_envelope(a, &integers, &addresses, &types, &combiner);
    CHECK(combiner == MPI_COMBINER_F90_REAL && integers == 2 && addresses == 0 && types == 0);
    MPI_Type_get_contents(a, 2, 0, 0, numbers, &none, &old);
    CHECK(numbers[0] == 15 && numbers[1] == 307);
    FAILS(MPI_ERR_TYPE, MPI_Type_free(&a));
    MPI_Type_contiguous(2, a, &b);
    MPI_Type_get_contents(b, 1, 0, 1, numbers, &none, &old);
    CHECK(old == a);
    MPI_Type_free(&b);
    MPI_Type_create_f90_complex(16, MPI_UNDEFINED, &a);
    MPI_Type_size(a, &size);
    CHECK(size == 32);
    for (int r = 1, sizes[] = {1, 2, 4, 8, 16}, at = 0; at < 5; at++) {
        MPI_Type_create_f90_integer(r, &a);
        MPI_Type_size(a, &size);
        CHECK(size == sizes[at]);
        r = (int[]){3, 5, 10, 19, 0}[at];
    }
    FAILS(MPI_ERR_ARG, MPI_Type_create_f90_real(34, 1, &a));
    FAILS(MPI_ERR_ARG, MPI_Type_create_f90_real(MPI_UNDEFINED, MPI_UNDEFINED, &a));
    FAILS(MPI_ERR_ARG, MPI_Type_create_f90_complex(1, 5000, &a));
    FAILS(MPI_ERR_ARG, MPI_Type_create_f90_integer(39, &a));
    CHECK(MPI_Type_match_size(MPI_TYPECLASS_REAL, 8, &a) == MPI_SUCCESS && a == MPI_REAL8);
    CHECK(MPI_Type_match_size(MPI_TYPECLASS_INTEGER, 2, &a) == MPI_SUCCESS && a == MPI_INTEGER2);
    MPI_Type_match_size(MPI_TYPECLASS_COMPLEX, 16, &a);
    CHECK(a == MPI_COMPLEX16);
    FAILS(MPI_ERR_ARG, MPI_Type_match_size(MPI_TYPECLASS_REAL, 5, &a));
    FAILS(MPI_ERR_ARG, MPI_Type_match_size(7, 4, &a));
    MPI_Type_get_value_index(MPI_DOUBLE, MPI_INT, &a);
    CHECK(a == MPI_DOUBLE_INT);
    MPI_Type_get_value_index(MPI_INT, MPI_INT, &a);
    CHECK(a == MPI_2INT);
    MPI_Type_get_value_index(MPI_CHAR, MPI_CHAR, &a);
    CHECK(a == MPI_DATATYPE_NULL);
}

static void names(void) {
    MPI_Datatype type;
    char text[MPI_MAX_OBJECT_NAME], longer[MPI_MAX_OBJECT_NAME + 20];
    int length;
    MPI_Type_contiguous(2, MPI_INT, &type);
    MPI_Type_get_name(type, text, &length);
    CHECK(length == 0 && text[0] == 0);
    MPI_Type_set_name(type, "two numbers");
    MPI_Type_get_name(type, text, &length);
    CHECK(length == 11 && strcmp(text, "two numbers") == 0);
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = 0;
    MPI_Type_set_name(type, longer);
    MPI_Type_get_name(type, text, &length);
    CHECK(length == MPI_MAX_OBJECT_NAME - 1 && strlen(text) == MPI_MAX_OBJECT_NAME - 1);
    MPI_Type_free(&type);
    CHECK(type == MPI_DATATYPE_NULL);
    MPI_Type_set_name(MPI_INT, "whole");
    MPI_Type_get_name(MPI_INT, text, &length);
    CHECK(length == 5 && strcmp(text, "whole") == 0);
    MPI_Type_get_name(MPI_DATATYPE_NULL, text, &length);
    CHECK(strcmp(text, "MPI_DATATYPE_NULL") == 0);
}

static void refused(void) {
    MPI_Datatype type = MPI_INT, none = MPI_DATATYPE_NULL, wrong = (MPI_Datatype)0x123456;
    int numbers[4];
    MPI_Aint addresses[4];
    FAILS(MPI_ERR_TYPE, MPI_Type_free(&type));
    CHECK(type == MPI_INT);
    FAILS(MPI_ERR_TYPE, MPI_Type_free(&none));
    FAILS(MPI_ERR_TYPE, MPI_Type_commit(&none));
    FAILS(MPI_ERR_TYPE, MPI_Type_commit(&wrong));
    FAILS(MPI_ERR_TYPE, MPI_Type_size(wrong, numbers));
    FAILS(MPI_ERR_TYPE, MPI_Type_set_name(wrong, "x"));
    FAILS(MPI_ERR_TYPE, MPI_Type_dup(MPI_DATATYPE_NULL, &type));
    FAILS(MPI_ERR_TYPE, MPI_Type_get_contents(MPI_INT, 4, 4, 1, numbers, addresses, &type));
    MPI_Type_contiguous(3, MPI_INT, &type);
    wrong = type;
    FAILS(MPI_ERR_TYPE, MPI_Send(numbers, 1, type, 0, 0, MPI_COMM_SELF));
    MPI_Type_free(&type);
    FAILS(MPI_ERR_TYPE, MPI_Type_free(&wrong));
    FAILS(MPI_ERR_COUNT, MPI_Type_contiguous(-1, MPI_INT, &type));
    FAILS(MPI_ERR_COUNT, MPI_Type_vector(-1, 1, 1, MPI_INT, &type));
    FAILS(MPI_ERR_ARG, MPI_Type_vector(1, -1, 1, MPI_INT, &type));
    FAILS(MPI_ERR_TYPE, MPI_Type_vector(1, 1, 1, wrong, &type));
    FAILS(MPI_ERR_COUNT, MPI_Type_indexed(-1, numbers, numbers, MPI_INT, &type));
    FAILS(MPI_ERR_ARG, MPI_Type_indexed(1 << 20, (int *)-16, numbers, MPI_INT, &type));
    FAILS(MPI_ERR_NO_MEM, MPI_Type_indexed(1 << 30, numbers, numbers, MPI_INT, &type));
    numbers[0] = -1;
    FAILS(MPI_ERR_ARG, MPI_Type_indexed(1, numbers, numbers, MPI_INT, &type));
    FAILS(MPI_ERR_ARG, MPI_Type_create_subarray(1, numbers, numbers, numbers, MPI_ORDER_C, MPI_INT,
                                                &type));
    FAILS(MPI_ERR_ARG, MPI_Type_create_subarray(0, numbers, numbers, numbers, MPI_ORDER_C, MPI_INT,
                                                &type));
    FAILS(MPI_ERR_ARG, MPI_Type_contiguous(1, MPI_INT, NULL));
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    sizes();
    precision();
    names();
    refused();
    MPI_Finalize();
    return 0;
}
