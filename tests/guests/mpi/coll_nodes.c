/* What is easily wrong where some ranks share memory and some do not: rank order, odd roots, parts
   that differ in length, progress while ranks compute, the same bits everywhere. */
#include "check.h"

static int rank, size;

/* Strings of digits, put one after the other: the order of operands shows. */
struct text {
    int len;
    unsigned char of[64];
};

static void append(void *in, void *inout, int *count, MPI_Datatype *type) {
    struct text *a = in, *b = inout;
    for (int at = 0; at < *count; at++) {
        struct text both = a[at];
        memcpy(both.of + both.len, b[at].of, (size_t)b[at].len);
        both.len += b[at].len;
        b[at] = both;
    }
}

static int in_order(const struct text *text, int first, int last) {
    if (text->len != last - first)
        return 0;
    for (int at = 0; at < text->len; at++) {
        if (text->of[at] != first + at)
            return 0;
    }
    return 1;
}

/* Short and long vectors, each in both directions. */
static void ordered(int most) {
    static struct text mine[400], all[400];
    MPI_Datatype type;
    MPI_Op op;
    MPI_Type_contiguous(sizeof(struct text), MPI_BYTE, &type);
    MPI_Type_commit(&type);
    MPI_Op_create(append, 0, &op);
    for (int count = 1; count <= most; count += 399) {
        for (int at = 0; at < count; at++) {
            mine[at].len = 1;
            mine[at].of[0] = (unsigned char)rank;
        }
        MPI_Allreduce(mine, all, count, type, op, MPI_COMM_WORLD);
        CHECK(in_order(&all[0], 0, size) && in_order(&all[count - 1], 0, size));
        for (int root = 0; root < size; root++) {
            memset(all, 0, sizeof all);
            MPI_Reduce(mine, all, count, type, op, root, MPI_COMM_WORLD);
            CHECK(rank != root || (in_order(&all[0], 0, size) && in_order(&all[count - 1], 0, size)));
        }
        MPI_Scan(mine, all, count, type, op, MPI_COMM_WORLD);
        CHECK(in_order(&all[count - 1], 0, rank + 1));
        if (rank == 0)
            all[0].len = 0;
        MPI_Exscan(mine, all, count, type, op, MPI_COMM_WORLD);
        CHECK(in_order(&all[0], 0, rank));
    }
    struct text parts[20], own[2];
    int counts[20], total = 0;
    for (int at = 0; at < size; at++) {
        counts[at] = at % 3 == 1 ? 0 : 1;
        total += counts[at];
    }
    for (int at = 0; at < total; at++) {
        parts[at].len = 1;
        parts[at].of[0] = (unsigned char)rank;
    }
    MPI_Reduce_scatter(parts, own, counts, type, op, MPI_COMM_WORLD);
    CHECK(counts[rank] == 0 || in_order(own, 0, size));
    MPI_Op_free(&op);
    MPI_Type_free(&type);
}

/* All lengths differ; some are 0, some are long. */
static void uneven(int unit) {
    static int mine[20 * 700], all[200 * 700];
    int counts[20], places[20], total = 0;
    for (int at = 0; at < size; at++) {
        counts[at] = at % 4 * unit;
        places[at] = total;
        total += counts[at];
    }
    for (int root = 0; root < size; root++) {
        for (int at = 0; at < counts[rank]; at++)
            mine[at] = rank * 1000000 + at;
        memset(all, -1, sizeof all);
        MPI_Gatherv(mine, counts[rank], MPI_INT, all, counts, places, MPI_INT, root, MPI_COMM_WORLD);
        for (int from = 0; from < size && rank == root; from++) {
            for (int at = 0; at < counts[from]; at++)
                CHECK(all[places[from] + at] == from * 1000000 + at);
        }
        memset(mine, -1, sizeof mine);
        MPI_Scatterv(all, counts, places, MPI_INT, mine, counts[rank], MPI_INT, root, MPI_COMM_WORLD);
        for (int at = 0; at < counts[rank]; at++)
            CHECK(mine[at] == rank * 1000000 + at);
    }
    memset(all, -1, sizeof all);
    memcpy(all + places[rank], mine, sizeof(int) * (size_t)counts[rank]);
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_INT, all, counts, places, MPI_INT, MPI_COMM_WORLD);
    for (int from = 0; from < size; from++) {
        for (int at = 0; at < counts[from]; at++)
            CHECK(all[places[from] + at] == from * 1000000 + at);
    }
}

/* All of one length, below and above every limit. */
static void even(int count) {
    static int mine[20 * 5000], all[20 * 5000];
    for (int to = 0; to < size; to++) {
        for (int at = 0; at < count; at++)
            mine[to * count + at] = rank * 100000 + to * 5000 + at;
    }
    MPI_Alltoall(mine, count, MPI_INT, all, count, MPI_INT, MPI_COMM_WORLD);
    for (int from = 0; from < size; from++) {
        for (int at = 0; at < count; at++)
            CHECK(all[from * count + at] == from * 100000 + rank * 5000 + at);
    }
    MPI_Alltoall(MPI_IN_PLACE, 0, MPI_INT, mine, count, MPI_INT, MPI_COMM_WORLD);
    CHECK(memcmp(mine, all, sizeof(int) * (size_t)(size * count)) == 0);
    for (int root = 0; root < size; root++) {
        memset(all, -1, sizeof all);
        MPI_Gather(mine, count, MPI_INT, all, count, MPI_INT, root, MPI_COMM_WORLD);
        if (rank == root) {
            for (int from = 0; from < size; from++)
                CHECK(count == 0 || all[from * count] == from * 5000);
        }
        int part[5000];
        MPI_Scatter(all, count, MPI_INT, part, count, MPI_INT, root, MPI_COMM_WORLD);
        CHECK(memcmp(part, mine, sizeof(int) * (size_t)count) == 0);
    }
    MPI_Allgather(mine, count, MPI_INT, all, count, MPI_INT, MPI_COMM_WORLD);
    for (int from = 0; from < size; from++)
        CHECK(count == 0 || all[from * count] == from * 5000);
}

/* Sums whose bits depend on the order of adding. */
static void same_bits(int count) {
    static double mine[40000], sums[40000], first[40000];
    for (int at = 0; at < count; at++)
        mine[at] = 1.0 / (rank * 7 + at + 3);
    MPI_Allreduce(mine, sums, count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    memcpy(first, sums, sizeof sums);
    MPI_Bcast(first, count, MPI_DOUBLE, size - 1, MPI_COMM_WORLD);
    CHECK(memcmp(first, sums, sizeof(double) * (size_t)count) == 0);
}

/* No call of MPI is made between the start and the end. */
static void progress(int count) {
    static int mine[50000];
    static volatile int sums[50000];
    MPI_Request request;
    for (int at = 0; at < count; at++) {
        mine[at] = at + rank;
        sums[at] = -1;
    }
    MPI_Iallreduce(mine, (int *)sums, count, MPI_INT, MPI_SUM, MPI_COMM_WORLD, &request);
    for (int at = 0; at < count; at++) {
        const int due = at * size + size * (size - 1) / 2;
        long long turns = 0;
        while (sums[at] != due)
            CHECK(++turns < 20000000000LL);
    }
    MPI_Wait(&request, MPI_STATUS_IGNORE);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    ordered(argc == 1 ? 400 : 1);
    uneven(1);
    even(0);
    even(1);
    same_bits(1);
    progress(10);
    /* A model of few elements needs no more. */
    if (argc == 1) {
        uneven(700);
        for (int count = 9; count < 5000; count = count * 8 + 1)
            even(count);
        same_bits(40000);
        progress(50000);
    }
    MPI_Finalize();
    return 0;
}
