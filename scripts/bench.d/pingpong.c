// Chains the function named by its first argument and awaits it, again and again, and prints how
// long that took: median and 99th percentile of one round, and rounds a second.
//
//   pingpong NAME ROUNDS        one call at a time
//   pingpong NAME ROUNDS WIDTH  WIDTH calls at a time, for the rate
#include <faasm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: pingpong NAME ROUNDS [WIDTH]\n");
        return 2;
    }
    const char *name = argv[1];
    int rounds = atoi(argv[2]);
    int width = argc > 3 ? atoi(argv[3]) : 1;
    uint64_t *took = calloc((size_t)rounds, sizeof *took);
    int *ids = calloc((size_t)width, sizeof *ids);
    if (!took || !ids) {
        return 3;
    }
    uint64_t begin = now_ns();
    for (int i = 0; i < rounds; i++) {
        uint64_t start = now_ns();
        for (int j = 0; j < width; j++) {
            ids[j] = chain_call(name, "", 0);
            if (ids[j] < 0) {
                fprintf(stderr, "chain_call: %d\n", ids[j]);
                return 4;
            }
        }
        for (int j = 0; j < width; j++) {
            int result = await_call(ids[j]);
            if (result != 0) {
                fprintf(stderr, "await_call: %d %s\n", result, call_error(ids[j]));
                return 5;
            }
        }
        took[i] = now_ns() - start;
    }
    double seconds = (double)(now_ns() - begin) / 1e9;
    qsort(took, (size_t)rounds, sizeof *took, ascending);
    char line[128];
    int len = snprintf(line, sizeof line, "%.1f %.1f %.0f\n", (double)took[rounds / 2] / 1e3,
                       (double)took[rounds - 1 - rounds / 100] / 1e3,
                       (double)rounds * width / seconds);
    write_call_output(line, (size_t)len);
    return 0;
}
