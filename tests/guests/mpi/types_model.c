/* Types of types, drawn at random, against the standard's definition of them: a list of predefined
   types with displacements. Bounds, sizes, packed data, messages whole and in part. */
#include "check.h"

/* The predefined types that are drawn. */
static const struct {
    MPI_Datatype type;
    int size, align;
} basic[] = {{MPI_CHAR, 1, 1},   {MPI_SHORT, 2, 2}, {MPI_INT, 4, 4},
             {MPI_DOUBLE, 8, 8}, {MPI_BYTE, 1, 1},  {MPI_C_FLOAT_COMPLEX, 8, 4}};

#define MOST 600
#define MIDDLE 6000

/* A type map: what lies where, and the bounds that were said, if they were. */
typedef struct {
    int count, marked, align;
    long lb, ub;
    struct {
        long at;
        int what;
    } all[MOST];
} Map;

static unsigned seed;
static unsigned char from[2 * MIDDLE], into[2 * MIDDLE], expected[2 * MIDDLE];
static char packed[MOST * 32], data[MOST * 32];
static int rank, size;

static int draw(int below) {
    seed = seed * 1664525 + 1013904223;
    return (int)((seed >> 8) % (unsigned)below);
}

static void data_bounds(const Map *map, long *low, long *high) {
    *low = *high = 0;
    for (int i = 0; i < map->count; i++) {
        long at = map->all[i].at, end = at + basic[map->all[i].what].size;
        *low = i == 0 || at < *low ? at : *low;
        *high = i == 0 || end > *high ? end : *high;
    }
}

static void bounds(const Map *map, long *lb, long *extent) {
    long high;
    data_bounds(map, lb, &high);
    if (map->marked) {
        *lb = map->lb;
        *extent = map->ub - map->lb;
    } else {
        *extent = (high - *lb + map->align - 1) / map->align * map->align;
    }
}

/* Adds a block of copies of a map. */
static void add(Map *map, const Map *part, int length, long at) {
    long lb, extent;
    bounds(part, &lb, &extent);
    for (int n = 0; n < length; n++, at += extent) {
        for (int i = 0; i < part->count && map->count < MOST; i++) {
            map->all[map->count].at = part->all[i].at + at;
            map->all[map->count++].what = part->all[i].what;
        }
        if (part->marked) {
            map->lb = map->marked && map->lb < part->lb + at ? map->lb : part->lb + at;
            map->ub = map->marked && map->ub > part->ub + at ? map->ub : part->ub + at;
            map->marked = 1;
        }
        map->align = map->align > part->align ? map->align : part->align;
    }
}

static void release(MPI_Datatype *type) {
    MPI_Count n;
    int kind;
    MPI_Type_get_envelope_c(*type, &n, &n, &n, &n, &kind);
    if (kind != MPI_COMBINER_NAMED) {
        MPI_Type_free(type);
    }
}

static MPI_Datatype make(int depth, Map *map);

static MPI_Datatype structure(int depth, Map *map) {
    static Map parts[4][3];
    MPI_Datatype types[3], made;
    int count = 1 + draw(3), lengths[3];
    MPI_Aint at[3];
    for (int i = 0; i < count; i++) {
        types[i] = make(depth - 1, &parts[depth][i]);
        lengths[i] = draw(3);
        at[i] = (draw(12) - 4) * 8;
        add(map, &parts[depth][i], lengths[i], at[i]);
    }
    MPI_Type_create_struct(count, lengths, at, types, &made);
    for (int i = 0; i < count; i++) {
        release(types + i);
    }
    return made;
}

static MPI_Datatype subarray(MPI_Datatype old, const Map *part, long extent, Map *map) {
    MPI_Datatype made;
    int sizes[2], taken[2], starts[2], fortran = draw(2);
    for (int i = 0; i < 2; i++) {
        sizes[i] = 1 + draw(4);
        taken[i] = 1 + draw(sizes[i]);
        starts[i] = draw(sizes[i] - taken[i] + 1);
    }
    int slow = fortran, fast = 1 - slow;
    for (int i = 0; i < taken[slow]; i++) {
        long row = (long)(starts[slow] + i) * sizes[fast] + starts[fast];
        add(map, part, taken[fast], row * extent);
    }
    map->marked = 1;
    map->lb = 0;
    map->ub = (long)sizes[0] * sizes[1] * extent;
    int order = fortran ? MPI_ORDER_FORTRAN : MPI_ORDER_C;
    MPI_Type_create_subarray(2, sizes, taken, starts, order, old, &made);
    return made;
}

static MPI_Datatype lists(int kind, MPI_Datatype old, const Map *part, long extent, Map *map) {
    MPI_Datatype made = MPI_DATATYPE_NULL;
    int count = draw(4), equal = draw(3), lengths[4], at[4];
    MPI_Aint bytes[4];
    for (int i = 0; i < count; i++) {
        lengths[i] = draw(3);
        at[i] = draw(9) - 4;
        bytes[i] = at[i] * 8;
        add(map, part, kind < 2 ? lengths[i] : equal, kind % 2 ? bytes[i] : at[i] * extent);
    }
    switch (kind) {
    case 0:
        MPI_Type_indexed(count, lengths, at, old, &made);
        break;
    case 1:
        MPI_Type_create_hindexed(count, lengths, bytes, old, &made);
        break;
    case 2:
        MPI_Type_create_indexed_block(count, equal, at, old, &made);
        break;
    case 3:
        MPI_Type_create_hindexed_block(count, equal, bytes, old, &made);
        break;
    }
    return made;
}

static MPI_Datatype vectors(int large, MPI_Datatype old, const Map *part, long extent, Map *map) {
    MPI_Datatype made;
    int count = draw(4), length = draw(4), stride = draw(9) - 4, bytes = draw(2);
    for (int i = 0; i < count; i++) {
        add(map, part, length, i * stride * (bytes ? 16 : extent));
    }
    if (bytes && large) {
        MPI_Type_create_hvector_c(count, length, stride * 16, old, &made);
    } else if (bytes) {
        MPI_Type_create_hvector(count, length, stride * 16, old, &made);
    } else if (large) {
        MPI_Type_vector_c(count, length, stride, old, &made);
    } else {
        MPI_Type_vector(count, length, stride, old, &made);
    }
    return made;
}

static MPI_Datatype make(int depth, Map *map) {
    static Map parts[5];
    memset(map, 0, sizeof *map);
    map->align = 1;
    if (depth == 0 || draw(6) == 0) {
        int what = draw(sizeof basic / sizeof *basic);
        map->count = 1;
        map->all[0].what = what;
        map->align = basic[what].align;
        return basic[what].type;
    }
    int kind = draw(11);
    if (kind == 0) {
        return structure(depth, map);
    }
    Map *part = &parts[depth];
    MPI_Datatype made, old = make(depth - 1, part);
    long lb, extent;
    bounds(part, &lb, &extent);
    if (kind <= 4) {
        made = lists(kind - 1, old, part, extent, map);
    } else if (kind <= 6) {
        made = vectors(kind == 5, old, part, extent, map);
    } else if (kind == 7) {
        made = subarray(old, part, extent, map);
    } else if (kind == 8) {
        add(map, part, 1, 0);
        MPI_Type_dup(old, &made);
    } else if (kind == 9) {
        int count = draw(4);
        add(map, part, count, 0);
        MPI_Type_contiguous(count, old, &made);
    } else {
        add(map, part, 1, 0);
        map->marked = 1;
        map->lb = (draw(9) - 4) * 8;
        map->ub = map->lb + (draw(12) - 2) * 8;
        MPI_Type_create_resized(old, map->lb, map->ub - map->lb, &made);
    }
    release(&old);
    return made;
}

/* Copies elements between packed data and where they lie; whether none lies where another does. */
static int copy(const Map *map, long extent, int elements, unsigned char *memory, int out) {
    static unsigned char used[2 * MIDDLE];
    int apart = 1;
    char *at = data;
    memset(used, 0, sizeof used);
    for (int i = 0; i < elements; i++) {
        long place = MIDDLE + i / map->count * extent + map->all[i % map->count].at;
        int bytes = basic[map->all[i % map->count].what].size;
        memcpy(out ? (void *)at : memory + place, out ? memory + place : (void *)at, bytes);
        for (int b = 0; b < bytes; b++) {
            apart &= !used[place + b]++;
        }
        at += bytes;
    }
    return apart;
}

static void messages(MPI_Datatype type, const Map *map, long extent, int count, int bytes) {
    int to = (rank + 1) % size, by = (rank + size - 1) % size, got;
    int elements = count * map->count, position = 0;
    MPI_Status status;
    memset(into, 0, sizeof into);
    memset(expected, 0, sizeof expected);
    copy(map, extent, elements, expected, 0);
    MPI_Sendrecv(from + MIDDLE, count, type, to, 0, into + MIDDLE, count, type, by, 0,
                 MPI_COMM_WORLD, &status);
    CHECK(memcmp(into, expected, sizeof into) == 0);
    MPI_Get_elements(&status, type, &got);
    CHECK(got == elements);
    memset(into, 0, sizeof into);
    MPI_Unpack(packed, bytes, &position, into + MIDDLE, count, type, MPI_COMM_WORLD);
    CHECK(position == bytes && memcmp(into, expected, sizeof into) == 0);
    /* Only some of the elements come. */
    int some = elements ? draw(elements) : 0, part = 0;
    for (int i = 0; i < some; i++) {
        part += basic[map->all[i % map->count].what].size;
    }
    memset(into, 0, sizeof into);
    memset(expected, 0, sizeof expected);
    copy(map, extent, some, expected, 0);
    MPI_Sendrecv(packed, part, MPI_PACKED, to, 1, into + MIDDLE, count, type, by, 1, MPI_COMM_WORLD,
                 &status);
    CHECK(memcmp(into, expected, sizeof into) == 0);
    MPI_Get_elements(&status, type, &got);
    CHECK(got == some);
    MPI_Get_count(&status, type, &got);
    CHECK(some == 0 || got == (some % map->count ? MPI_UNDEFINED : some / map->count));
}

static void check(MPI_Datatype type, const Map *map) {
    long lb, extent, low, high;
    MPI_Aint given_lb, given_extent, true_lb, true_extent;
    int bytes = 0, given;
    bounds(map, &lb, &extent);
    data_bounds(map, &low, &high);
    MPI_Type_get_extent(type, &given_lb, &given_extent);
    MPI_Type_get_true_extent(type, &true_lb, &true_extent);
    CHECK(given_lb == lb && given_extent == extent);
    CHECK(true_lb == low && true_extent == high - low);
    for (int i = 0; i < map->count; i++) {
        bytes += basic[map->all[i].what].size;
    }
    MPI_Type_size(type, &given);
    CHECK(given == bytes);
    for (int count = 0; count <= 3; count += 1 + count) {
        int position = 0;
        if (labs(low) + labs(high) + count * labs(extent) > MIDDLE) {
            return;
        }
        int apart = copy(map, extent, count * map->count, from, 1);
        packed[count * bytes] = 99;
        MPI_Pack(from + MIDDLE, count, type, packed, sizeof packed, &position, MPI_COMM_WORLD);
        CHECK(position == count * bytes && memcmp(packed, data, position) == 0);
        CHECK(packed[position] == 99);
        if (apart) {
            messages(type, map, extent, count, position);
        }
    }
}

int main(int argc, char **argv) {
    static Map map;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int i = 0; i < 2 * MIDDLE; i++) {
        from[i] = (unsigned char)(i * 31 + i / 256);
    }
    for (int round = 0; round < 1500; round++) {
        seed = round * 7919 + 13;
        MPI_Datatype type = make(1 + round % 3, &map);
        if (map.count < MOST) {
            MPI_Type_commit(&type);
            check(type, &map);
        }
        release(&type);
    }
    MPI_Finalize();
    return 0;
}
