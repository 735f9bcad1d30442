/* Calls every function of MPI with arguments drawn at random: numbers small, huge and special,
 * handles of every kind, made or not, addresses good, bad and special. `calls.h` is made from the
 * table of functions; it calls them as a module may, without the types of C.
 *
 * Arguments: seed, number of calls, whether calls that wait for others get valid handles too. */
#include "check.h"

static unsigned long long state;

static unsigned draw(unsigned below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 33) % below;
}

#define ARENA (4 << 20)
#define NEAR (64 << 10)
static int *arena;
static int wary; /* No handle is valid now. */
static unsigned made;

/* A word that some call may have written: a handle, a count, an address. */
static int word(void) { return arena[draw(NEAR / 4)]; }

static int number(void) {
    static const int special[] = {-1,          -2,         -3,          -4,       -32766, 0x7fffffff,
                                  -0x7fffffff, 0x40000000, (int)1 << 31, 0x10000, 1 << 20, 100000};
    switch (draw(8)) {
    case 0: return special[draw(sizeof special / sizeof *special)];
    case 1: return word();
    case 2: return (int)draw(600);
    default: return (int)draw(6) - 1;
    }
}

static long long large(void) {
    switch (draw(6)) {
    case 0: return (long long)number() << draw(33);
    case 1: return (long long)(0x7fffffffffffffff >> draw(4));
    default: return number();
    }
}

/* In the order of the kinds in src/mpi/abi.rs. */
static int handle(int kind) {
    static const int first[] = {0x100, 0x108, 0x200, 0x20, 0x180, 0x128,
                                0x142, 0x130, 0x110, 0x118, 0x120};
    static const int count[] = {3, 2, 0x60, 0x1e, 1, 2, 2, 2, 1, 1, 1};
    if (wary) {
        return draw(2) ? 0x7abcde00 + (int)draw(256) : 0;
    }
    switch (draw(8)) {
    case 0: return number();
    case 1: kind = (int)draw(11); break;
    case 2: case 3: case 4: return word();
    }
    return first[kind] + (int)draw(count[kind]);
}

static int address(void) {
    switch (draw(24)) {
    case 0: return 0;
    case 1: return (int)draw(12);
    case 2: return (int)(0xfffffff0u + draw(16));
    case 3: return (int)draw(0xffffffff);
    case 4: return (int)(__builtin_wasm_memory_size(0) * 65536 - draw(64));
    case 5: return (int)(intptr_t)arena + (int)draw(NEAR);
    }
    int *at = arena + draw(NEAR / 4);
    if (wary) {
        /* No handle is there either. */
        memset(at, 0x7a, 512);
    } else if (draw(3) == 0) {
        for (int i = 0; i < 8; i++) {
            at[i] = draw(2) ? number() : handle((int)draw(11));
        }
    } else if (draw(8) == 0) {
        snprintf((char *)at, 16, "%s%u", draw(2) ? "name" : "mpi://", draw(9));
    }
    return (int)(intptr_t)at;
}

static void combine(void *in, void *inout, int *len, int *type) { made++; }
static void handle_error(int *comm, int *code, ...) { made++; }
static int six(int a, int b, void *c, void *d, void *e, int *flag) { made++; return 0; }
static int four(int a, int b, void *c, void *d) { made++; return (int)draw(2) * 16; }
static int two(void *extra, void *status) { made++; return (int)draw(2) * 16; }
static int one(void *extra) { made++; return 0; }

/* A function of the type that a parameter asks for, mostly. */
static int function(const char *name) {
    if (draw(50) == 0) {
        return (int)draw(40);
    }
    if (strstr(name, "copy")) return (int)(intptr_t)six;
    if (strstr(name, "delete")) return (int)(intptr_t)four;
    if (strstr(name, "errhandler")) return (int)(intptr_t)handle_error;
    if (strstr(name, "user")) return (int)(intptr_t)combine;
    if (strstr(name, "free")) return (int)(intptr_t)one;
    return (int)(intptr_t)two;
}

#include "calls.h"

int main(int argc, char **argv) {
    int rank;
    CHECK(argc == 4);
    arena = calloc(1, ARENA);
    CHECK(arena != NULL);
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    state = strtoull(argv[1], NULL, 10) * 0x9e3779b97f4a7c15ull + (unsigned)rank * 77 + 1;
    int calls = atoi(argv[2]), all = atoi(argv[3]);
    for (int n = 0; n < calls; n++) {
        int which = n < FUNCTIONS ? n : (int)draw(FUNCTIONS);
        MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
        MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
        wary = !all && waits(which);
        call(which);
        wary = 0;
    }
    fprintf(stderr, "%d calls were made, %u of them back\n", calls, made);
    return 0;
}
