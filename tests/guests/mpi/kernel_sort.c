/* Sorting integers by buckets: a histogram of all keys, then each key to the rank of its bucket. */
#include "check.h"

#include <stdint.h>

#define BUCKETS 256

static int rank, size;

static int order(const void *one, const void *other)
{
    uint32_t x = *(const uint32_t *)one, y = *(const uint32_t *)other;
    return (x > y) - (x < y);
}

static uint32_t *make_keys(int count, uint64_t *sum)
{
    uint64_t state = 88172645463325252 + (uint64_t)rank * 7919;
    uint32_t *keys = malloc(((size_t)count + 1) * sizeof *keys);
    for (int i = 0; i < count; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        keys[i] = (uint32_t)(state >> 20) / (1 + state % 3);
        *sum += keys[i];
    }
    return keys;
}

/* Which rank has which bucket, so that all have about as many keys. */
static void share_out(const uint32_t *keys, int count, int *owner)
{
    int here[BUCKETS] = {0}, all[BUCKETS];
    for (int i = 0; i < count; i++)
        here[keys[i] / (UINT32_MAX / BUCKETS + 1)] += 1;
    MPI_Allreduce(here, all, BUCKETS, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    double total = 0, before = 0;
    for (int i = 0; i < BUCKETS; i++)
        total += all[i];
    for (int i = 0; i < BUCKETS; before += all[i++])
        owner[i] = (int)(before * size / (total + 1));
}

static uint32_t *exchange(const uint32_t *keys, int count, const int *owner, int *length)
{
    int to[64] = {0}, from[64], out[65] = {0}, in[65] = {0}, next[64];
    for (int i = 0; i < count; i++)
        to[owner[keys[i] / (UINT32_MAX / BUCKETS + 1)]] += 1;
    MPI_Alltoall(to, 1, MPI_INT, from, 1, MPI_INT, MPI_COMM_WORLD);
    for (int i = 0; i < size; i++) {
        out[i + 1] = out[i] + to[i];
        in[i + 1] = in[i] + from[i];
        next[i] = out[i];
    }
    *length = in[size];
    uint32_t *sorted = malloc(((size_t)count + 1) * sizeof *sorted);
    uint32_t *got = malloc(((size_t)*length + 1) * sizeof *got);
    for (int i = 0; i < count; i++)
        sorted[next[owner[keys[i] / (UINT32_MAX / BUCKETS + 1)]]++] = keys[i];
    MPI_Alltoallv(sorted, to, out, MPI_UINT32_T, got, from, in, MPI_UINT32_T, MPI_COMM_WORLD);
    free(sorted);
    return got;
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    CHECK(size <= 64);
    int count = 20000 + 100 * rank, owner[BUCKETS], length;
    uint64_t sums[2] = {0, 0};
    uint32_t *keys = make_keys(count, &sums[0]);
    share_out(keys, count, owner);
    uint32_t *got = exchange(keys, count, owner, &length);
    qsort(got, (size_t)length, sizeof *got, order);
    for (int i = 0; i < length; i++)
        sums[1] += got[i];
    MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    CHECK(sums[0] == sums[1]);
    uint32_t highest = length > 0 ? got[length - 1] : 0, before = 0;
    MPI_Exscan(&highest, &before, 1, MPI_UINT32_T, MPI_MAX, MPI_COMM_WORLD);
    CHECK(rank == 0 || length == 0 || before <= got[0]);
    int balance[2] = {length, -length};
    MPI_Allreduce(MPI_IN_PLACE, balance, 2, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    CHECK(balance[0] > 0);
    free(keys);
    free(got);
    MPI_Finalize();
    return 0;
}
