// Global locks, how they end and who gets them next. Arguments: what, a key, more.
//   end KEY HOW: takes the global and the local write lock, maps the value (8 bytes, made if there is
//     none), writes 99 into it, says so by an element of KEY.holds, and ends without any unlock or
//     push: by return, exit, trap, memory (more than it may have) or, for spin and sleep, not by itself.
//   take KEY: takes both, with 9 s to do so; its output is the two errors, the milliseconds until both
//     were had, and the first byte of the value, which is not pulled.
//   wait KEY: takes the global write lock; its result is the error, as a positive number.
//   parent KEY: takes the lock, chains a call of wait for the same key, and awaits it; its output is
//     the child's result, and after how many milliseconds that was known.
//   two KEY OTHER: takes the one, says so by an element of KEY.holds, dwells until OTHER.holds has one,
//     takes the other; its output is the error, and after how many milliseconds that was known.
//   line KEY MODE MS: takes the lock, holds it so long; its output is the milliseconds waited.
#include <faasm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char text[200];

static void nap(long ms) {
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static long now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

static int say(void) { return write_call_output(text, strlen(text)); }

static void mark(const char *key) {
    snprintf(text, sizeof(text), "%s.holds", key);
    if (append_state(text, "x", 1)) exit(40);
}

static uint8_t *mapped(const char *key) {
    uint64_t len = 8;
    return get_state(key, &len, FAASM_STATE_CREATE);
}

static int end(const char *key, const char *how) {
    if (lock_state_global_write(key) || lock_state_write(key)) return 41;
    uint8_t *bytes = mapped(key);
    if (!bytes) return 42;
    bytes[0] = 99;
    mark(key);
    if (!strcmp(how, "exit")) exit(0);
    if (!strcmp(how, "trap")) __builtin_trap();
    if (!strcmp(how, "sleep")) nap(600000);
    for (volatile long turn = 0; !strcmp(how, "spin"); ++turn) {}
    for (size_t size = 1 << 20; !strcmp(how, "memory"); size *= 2) {
        volatile char *more = malloc(size);
        more[size - 1] = 1;
    }
    return 0;
}

static int take(const char *key) {
    long began = now();
    int global = lock_state_global_write_timeout(key, 9000);
    int local = global ? 0 : lock_state_write_timeout(key, 9000);
    long took = now() - began;
    uint8_t *bytes = global ? NULL : mapped(key);
    snprintf(text, sizeof(text), "%d %d %ld %d", global, local, took, bytes ? bytes[0] : -1);
    return say();
}

static int parent(const char *key) {
    if (lock_state_global_write(key)) return 43;
    snprintf(text, sizeof(text), "wait %s", key);
    int child = chain_call("holder", text, strlen(text));
    long began = now();
    int result = await_call(child);
    snprintf(text, sizeof(text), "%d %ld", result, now() - began);
    return say();
}

static int two(const char *key, const char *other) {
    char holds[100];
    snprintf(holds, sizeof(holds), "%s.holds", other);
    if (lock_state_global_write(key)) return 44;
    mark(key);
    while (state_size(holds) <= 0) nap(5);
    long began = now();
    int error = lock_state_global_write(other);
    snprintf(text, sizeof(text), "%d %ld", error, now() - began);
    return say();
}

static int line(const char *key, int reads, long ms) {
    long began = now();
    int error = reads ? lock_state_global_read(key) : lock_state_global_write(key);
    long took = now() - began;
    nap(ms);
    snprintf(text, sizeof(text), "%d %ld", error, took);
    return say();
}

int main(int argc, char *argv[]) {
    char input[100] = { 0 };
    size_t size = 0;
    const void *given = read_call_input(&size);
    if (argc < 3) {
        memcpy(input, given, size < 99 ? size : 99);
        return strncmp(input, "wait ", 5) ? 45 : -lock_state_global_write(input + 5);
    }
    const char *what = argv[1], *key = argv[2], *more = argc > 3 ? argv[3] : "";
    if (!strcmp(what, "end")) return end(key, more);
    if (!strcmp(what, "take")) return take(key);
    if (!strcmp(what, "wait")) return -lock_state_global_write(key);
    if (!strcmp(what, "parent")) return parent(key);
    if (!strcmp(what, "two")) return two(key, more);
    if (!strcmp(what, "line")) return line(key, !strcmp(more, "read"), argc > 4 ? atol(argv[4]) : 0);
    return 46;
}
