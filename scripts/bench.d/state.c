// Measures calls of the state from inside a function. Prints microseconds: of each key for `pull`,
// else the median of the rounds.
#include <faasm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 100000 };
static double times[MOST];

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int by_size(const void *one, const void *other)
{
    const double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static int print_median(int rounds)
{
    qsort(times, (size_t)rounds, sizeof *times, by_size);
    printf("%.3f\n", times[rounds / 2]);
    return 0;
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: error %d\n", what, error);
    return 1;
}

// One round is a batch: a clock takes longer than what is measured.
static int fast(const char *what, const char *key, int rounds)
{
    const int batch = 1000;
    for (int round = 0; round < rounds; ++round) {
        const double begun = now();
        for (int i = 0; i < batch; ++i) {
            uint64_t len;
            int error = 0;
            if (strcmp(what, "get") == 0)
                error = get_state(key, &len, 0) == NULL ? faasm_errno() : 0;
            else if ((error = lock_state_write(key)) == 0)
                error = unlock_state_write(key);
            if (error != 0)
                return fail(what, error);
        }
        times[round] = (now() - begun) / batch;
    }
    return print_median(rounds);
}

static int pull(int count, char **keys)
{
    for (int i = 0; i < count; ++i) {
        uint64_t len;
        const double begun = now();
        if (get_state(keys[i], &len, 0) == NULL)
            return fail(keys[i], faasm_errno());
        printf("%.1f\n", now() - begun);
    }
    return 0;
}

// `step` bytes changed in each of `size`, then a push; ranged if `offset` is not negative.
static int push(const char *key, uint64_t size, uint64_t step, int64_t offset, int rounds)
{
    uint64_t len = size;
    uint8_t *bytes = get_state(key, &len, FAASM_STATE_CREATE);
    if (bytes == NULL)
        return fail(key, faasm_errno());
    for (int round = 0; round < rounds; ++round) {
        for (uint64_t at = 0; at < size; at += step)
            bytes[at] += 1;
        const double begun = now();
        const int error = offset < 0 ? push_state(key) : push_state_offset(key, offset, 4096);
        times[round] = now() - begun;
        if (error < 0)
            return fail(key, error);
    }
    return print_median(rounds);
}

static int global_lock(const char *key, int rounds)
{
    for (int round = 0; round < rounds; ++round) {
        const double begun = now();
        int error = lock_state_global_write(key);
        if (error == 0)
            error = unlock_state_global_write(key);
        times[round] = now() - begun;
        if (error != 0)
            return fail(key, error);
    }
    return print_median(rounds);
}

// What many callers do at once: `a` appends, `l` takes and releases a lock of its own.
static int crowd_work(void)
{
    char input[64], key[80], bytes[100] = {0};
    size_t len;
    const uint8_t *given = read_call_input(&len);
    memcpy(input, given, len < 63 ? len : 63);
    input[len < 63 ? len : 63] = '\0';
    char what;
    int which, rounds;
    if (sscanf(input, "%c %d %d", &what, &which, &rounds) != 3)
        return 1;
    snprintf(key, sizeof key, "bench/crowd%c%d", what, which);
    for (int i = 0; i < rounds; ++i) {
        int error = 0;
        if (what == 'a')
            error = append_state(key, bytes, sizeof bytes);
        else if ((error = lock_state_global_write(key)) == 0)
            error = unlock_state_global_write(key);
        if (error != 0)
            return fail(key, error);
    }
    return 0;
}

// Operations a second of `width` callers.
static int crowd(char what, int width, int rounds)
{
    static int calls[1000];
    char input[64];
    const double begun = now();
    for (int i = 0; i < width; ++i) {
        snprintf(input, sizeof input, "%c %d %d", what, i, rounds);
        calls[i] = chain_call_ptr(crowd_work, input, strlen(input));
    }
    for (int i = 0; i < width; ++i) {
        if (calls[i] < 0 || await_call(calls[i]) != 0)
            return fail("a caller", calls[i]);
    }
    printf("%.0f\n", (double)width * rounds / (now() - begun) * 1e6);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *key = argc > 2 ? argv[2] : "";
    const int a = argc > 3 ? atoi(argv[3]) : 0;
    if ((strcmp(what, "get") == 0 || strcmp(what, "lock") == 0) && a > 0 && a <= MOST)
        return fast(what, key, a);
    if (strcmp(what, "pull") == 0)
        return pull(argc - 2, argv + 2);
    if (strcmp(what, "push") == 0 && argc > 6)
        return push(key, strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
                    strtoll(argv[5], NULL, 10), atoi(argv[6]));
    if (strcmp(what, "global") == 0 && a > 0 && a <= MOST)
        return global_lock(key, a);
    if (strcmp(what, "crowd") == 0 && argc > 4 && a >= 1 && a <= 1000)
        return crowd(key[0], a, atoi(argv[4]));
    return 2;
}
