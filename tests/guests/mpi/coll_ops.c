/* Every predefined operation on every predefined type that the standard has for it, and on no
   other: what comes of it is what C makes of the same numbers. */
#include "check.h"
#include <complex.h>
#include <stdint.h>

#define MOST 40

/* The standard's groups of types. */
enum { INTEGER, FORTRAN_INTEGER, FLOATING, LOGICAL, COMPLEX, BYTE, SHARED };

enum { MAX, MIN, SUM, PROD, LAND, LOR, LXOR, BAND, BOR, BXOR, MAXLOC, MINLOC, OPS };

static const MPI_Op ops[OPS] = {MPI_MAX,  MPI_MIN,  MPI_SUM, MPI_PROD, MPI_LAND,   MPI_LOR,
                                MPI_LXOR, MPI_BAND, MPI_BOR, MPI_BXOR, MPI_MAXLOC, MPI_MINLOC};

static int rank, size;
static _Alignas(16) char in[MOST * 32], out[MOST * 32], due[MOST * 32], next[MOST * 32];

static int takes(int op, int group) {
    if (op <= MIN) {
        return group != LOGICAL && group != COMPLEX && group != BYTE;
    }
    if (op <= PROD) {
        return group != LOGICAL && group != BYTE;
    }
    if (op <= LXOR) {
        return group == INTEGER || group == LOGICAL;
    }
    return op <= BXOR && group != FLOATING && group != LOGICAL && group != COMPLEX;
}

/* Numbers of a rank, and those of two combined in C. */
typedef void fill_fn(void *to, int from, int op);
typedef void fold_fn(void *sum, const void *other, int op);

static void all_ops(const char *name, MPI_Datatype type, int group, size_t each, fill_fn *fill,
                    fold_fn *fold) {
    for (int op = 0; op < OPS; op++) {
        if (!takes(op, group)) {
            FAILS(MPI_ERR_OP, MPI_Reduce_local(in, out, 1, type, ops[op]));
            FAILS(MPI_ERR_OP, MPI_Allreduce(in, out, 1, type, ops[op], MPI_COMM_WORLD));
            continue;
        }
        for (int form = 0; form < 3; form++) {
            int among = form == 0 ? 2 : form == 1 ? size : rank + 1;
            fill(due, 0, op);
            for (int r = 1; r < among; r++) {
                fill(next, r, op);
                fold(due, next, op);
            }
            fill(in, form == 0 ? 0 : rank, op);
            fill(out, 1, op);
            if (form == 0) {
                MPI_Reduce_local(in, out, MOST, type, ops[op]);
            } else if (form == 1) {
                MPI_Allreduce(in, out, MOST, type, ops[op], MPI_COMM_WORLD);
            } else {
                MPI_Scan(in, out, MOST, type, ops[op], MPI_COMM_WORLD);
            }
            if (memcmp(out, due, MOST * each) != 0) {
                fprintf(stderr, "%s, operation %d, form %d\n", name, op, form);
                exit(1);
            }
        }
    }
}

#define EACH(n) for (int n = 0; n < MOST; n++)

#define INTEGERS(T, N)                                                                             \
    static void fill_##N(void *to, int from, int op) {                                             \
        T *a = to;                                                                                 \
        EACH(i) {                                                                                  \
            int some = (from * 7 + i * 3) % 11;                                                    \
            T bits = (T)(0x55aa33ccf00f7e81ull * (from * 2 + 1) >> i % 13);                        \
            a[i] = op >= BAND ? bits : op >= LAND ? (T)(some < 5 ? 0 : some) : (T)(some - 4);      \
        }                                                                                          \
    }                                                                                              \
    static void fold_##N(void *sum, const void *other, int op) {                                   \
        T *a = sum;                                                                                \
        const T *b = other;                                                                        \
        EACH(i) {                                                                                  \
            T all[] = {a[i] > b[i] ? a[i] : b[i],                                                  \
                       a[i] < b[i] ? a[i] : b[i],                                                  \
                       (T)((uint64_t)a[i] + (uint64_t)b[i]),                                       \
                       (T)((uint64_t)a[i] * (uint64_t)b[i]),                                       \
                       a[i] && b[i],                                                               \
                       a[i] || b[i],                                                               \
                       !a[i] != !b[i],                                                             \
                       a[i] & b[i],                                                                \
                       a[i] | b[i],                                                                \
                       a[i] ^ b[i]};                                                               \
            a[i] = all[op];                                                                        \
        }                                                                                          \
    }

#define FLOATS(T, N)                                                                               \
    static void fill_##N(void *to, int from, int op) {                                             \
        EACH(i) {                                                                                  \
            ((T *)to)[i] = op == PROD ? 1 + (from + i) % 2 : (from * 7 + i * 3) % 11 - 5;          \
        }                                                                                          \
    }                                                                                              \
    static void fold_##N(void *sum, const void *other, int op) {                                   \
        T *a = sum;                                                                                \
        const T *b = other;                                                                        \
        EACH(i) {                                                                                  \
            T all[] = {a[i] > b[i] ? a[i] : b[i], a[i] < b[i] ? a[i] : b[i], a[i] + b[i],          \
                       a[i] * b[i]};                                                               \
            a[i] = all[op];                                                                        \
        }                                                                                          \
    }

#define COMPLEXES(T, N)                                                                            \
    static void fill_##N(void *to, int from, int op) {                                             \
        EACH(i) {                                                                                  \
            ((T *)to)[i] = 1 + (from + i) % 2 + (from * 3 + i) % 3 * I;                            \
        }                                                                                          \
    }                                                                                              \
    static void fold_##N(void *sum, const void *other, int op) {                                   \
        T *a = sum;                                                                                \
        const T *b = other;                                                                        \
        EACH(i) {                                                                                  \
            a[i] = op == SUM ? a[i] + b[i] : a[i] * b[i];                                          \
        }                                                                                          \
    }

INTEGERS(int8_t, i8)
INTEGERS(uint8_t, u8)
INTEGERS(int16_t, i16)
INTEGERS(uint16_t, u16)
INTEGERS(int32_t, i32)
INTEGERS(uint32_t, u32)
INTEGERS(int64_t, i64)
INTEGERS(uint64_t, u64)
FLOATS(float, f32)
FLOATS(double, f64)
FLOATS(long double, f128)
COMPLEXES(float complex, c32)
COMPLEXES(double complex, c64)
COMPLEXES(long double complex, c128)

static void fill_truth(void *to, int from, int op) {
    EACH(i) {
        ((_Bool *)to)[i] = (from * 7 + i * 3) % 5 < 2;
    }
}

static void fold_truth(void *sum, const void *other, int op) {
    _Bool *a = sum;
    const _Bool *b = other;
    EACH(i) {
        a[i] = op == LAND ? a[i] && b[i] : op == LOR ? a[i] || b[i] : a[i] != b[i];
    }
}

#define ON(TYPE, GROUP, T, N) all_ops(#TYPE, TYPE, GROUP, sizeof(T), fill_##N, fold_##N)

static void integers(void) {
    ON(MPI_SIGNED_CHAR, INTEGER, int8_t, i8);
    ON(MPI_UNSIGNED_CHAR, INTEGER, uint8_t, u8);
    ON(MPI_SHORT, INTEGER, int16_t, i16);
    ON(MPI_UNSIGNED_SHORT, INTEGER, uint16_t, u16);
    ON(MPI_INT, INTEGER, int32_t, i32);
    ON(MPI_UNSIGNED, INTEGER, uint32_t, u32);
    ON(MPI_LONG, INTEGER, int32_t, i32);
    ON(MPI_UNSIGNED_LONG, INTEGER, uint32_t, u32);
    ON(MPI_LONG_LONG, INTEGER, int64_t, i64);
    ON(MPI_UNSIGNED_LONG_LONG, INTEGER, uint64_t, u64);
    ON(MPI_INT8_T, INTEGER, int8_t, i8);
    ON(MPI_UINT8_T, INTEGER, uint8_t, u8);
    ON(MPI_INT16_T, INTEGER, int16_t, i16);
    ON(MPI_UINT16_T, INTEGER, uint16_t, u16);
    ON(MPI_INT32_T, INTEGER, int32_t, i32);
    ON(MPI_UINT32_T, INTEGER, uint32_t, u32);
    ON(MPI_INT64_T, INTEGER, int64_t, i64);
    ON(MPI_UINT64_T, INTEGER, uint64_t, u64);
    ON(MPI_INTEGER, FORTRAN_INTEGER, int32_t, i32);
    ON(MPI_INTEGER1, FORTRAN_INTEGER, int8_t, i8);
    ON(MPI_INTEGER2, FORTRAN_INTEGER, int16_t, i16);
    ON(MPI_INTEGER4, FORTRAN_INTEGER, int32_t, i32);
    ON(MPI_INTEGER8, FORTRAN_INTEGER, int64_t, i64);
    ON(MPI_BYTE, BYTE, uint8_t, u8);
    ON(MPI_AINT, SHARED, int32_t, i32);
    ON(MPI_OFFSET, SHARED, int64_t, i64);
    ON(MPI_COUNT, SHARED, int64_t, i64);
}

static void others(void) {
    ON(MPI_FLOAT, FLOATING, float, f32);
    ON(MPI_DOUBLE, FLOATING, double, f64);
    ON(MPI_LONG_DOUBLE, FLOATING, long double, f128);
    ON(MPI_REAL, FLOATING, float, f32);
    ON(MPI_DOUBLE_PRECISION, FLOATING, double, f64);
    ON(MPI_REAL4, FLOATING, float, f32);
    ON(MPI_REAL8, FLOATING, double, f64);
    ON(MPI_REAL16, FLOATING, long double, f128);
    ON(MPI_C_FLOAT_COMPLEX, COMPLEX, float complex, c32);
    ON(MPI_C_DOUBLE_COMPLEX, COMPLEX, double complex, c64);
    ON(MPI_C_LONG_DOUBLE_COMPLEX, COMPLEX, long double complex, c128);
    ON(MPI_CXX_FLOAT_COMPLEX, COMPLEX, float complex, c32);
    ON(MPI_CXX_DOUBLE_COMPLEX, COMPLEX, double complex, c64);
    ON(MPI_CXX_LONG_DOUBLE_COMPLEX, COMPLEX, long double complex, c128);
    ON(MPI_COMPLEX, COMPLEX, float complex, c32);
    ON(MPI_DOUBLE_COMPLEX, COMPLEX, double complex, c64);
    ON(MPI_COMPLEX8, COMPLEX, float complex, c32);
    ON(MPI_COMPLEX16, COMPLEX, double complex, c64);
    ON(MPI_COMPLEX32, COMPLEX, long double complex, c128);
    ON(MPI_C_BOOL, LOGICAL, _Bool, truth);
    ON(MPI_CXX_BOOL, LOGICAL, _Bool, truth);
    ON(MPI_LOGICAL1, LOGICAL, _Bool, truth);
    ON(MPI_LOGICAL, LOGICAL, int32_t, i32);
    ON(MPI_LOGICAL4, LOGICAL, int32_t, i32);
    ON(MPI_LOGICAL8, LOGICAL, int64_t, i64);
    MPI_Datatype none[] = {MPI_CHAR, MPI_WCHAR, MPI_CHARACTER, MPI_PACKED};
    for (int type = 0; type < 4; type++) {
        for (int op = 0; op < OPS; op++) {
            FAILS(MPI_ERR_OP, MPI_Reduce_local(in, out, 1, none[type], ops[op]));
        }
    }
}

/* Of equal values the one with the lower place counts. */
#define LOCATED(TYPE, V, P)                                                                        \
    do {                                                                                           \
        struct {                                                                                   \
            V value;                                                                               \
            P place;                                                                               \
        } mine[MOST], found[MOST];                                                                 \
        for (int greatest = 0; greatest < 2; greatest++) {                                         \
            EACH(i) {                                                                              \
                mine[i].value = (V)((rank + i) * 5 % 4 - 2);                                       \
                mine[i].place = (P)(100 + rank * (i % 3 - 1));                                     \
            }                                                                                      \
            MPI_Op op = greatest ? MPI_MAXLOC : MPI_MINLOC;                                        \
            MPI_Allreduce(mine, found, MOST, TYPE, op, MPI_COMM_WORLD);                            \
            EACH(i) {                                                                              \
                V best = 0;                                                                        \
                P at = 0;                                                                          \
                for (int r = 0; r < size; r++) {                                                   \
                    V value = (V)((r + i) * 5 % 4 - 2);                                            \
                    P place = (P)(100 + r * (i % 3 - 1));                                          \
                    int better = greatest ? value > best : value < best;                           \
                    if (r == 0 || better || (value == best && place < at)) {                       \
                        best = value;                                                              \
                        at = place;                                                                \
                    }                                                                              \
                }                                                                                  \
                CHECK(found[i].value == best && found[i].place == at);                             \
            }                                                                                      \
        }                                                                                          \
        for (int op = 0; op < MAXLOC; op++) {                                                      \
            FAILS(MPI_ERR_OP, MPI_Allreduce(mine, found, 1, TYPE, ops[op], MPI_COMM_WORLD));       \
        }                                                                                          \
    } while (0)

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    integers();
    others();
    LOCATED(MPI_FLOAT_INT, float, int);
    LOCATED(MPI_DOUBLE_INT, double, int);
    LOCATED(MPI_LONG_INT, long, int);
    LOCATED(MPI_2INT, int, int);
    LOCATED(MPI_SHORT_INT, short, int);
    LOCATED(MPI_LONG_DOUBLE_INT, long double, int);
    LOCATED(MPI_2REAL, float, float);
    LOCATED(MPI_2DOUBLE_PRECISION, double, double);
    LOCATED(MPI_2INTEGER, int, int);
    MPI_Finalize();
    return 0;
}
