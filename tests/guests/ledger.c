// State under faults. Arguments: what, a key, a number.
//   count KEY N: adds N to a counter, one by one, each under the global lock; tells how many were
//     acknowledged.
//   append KEY NAME: appends one element of 16 bytes.
//   burst KEY NAME FROM N: appends N elements of 16 bytes, NAME-FROM and so on, until one fails; tells
//     how many were acknowledged.
//   elements KEY: gives all elements.
//   range KEY OFF LEN: reads these bytes; tells their sum.
//   map KEY MS: maps a value and reads a byte of each page, says so by an element of KEY.maps, waits.
//   hold KEY MS: under the lock, says so by an element of KEY.holds, waits, then writes and pushes.
#include <faasm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char text[128];

static int say(int result, const char *what, long long number) {
    snprintf(text, sizeof(text), "%s %lld error %d", what, number, result);
    write_call_output(text, strlen(text));
    return 0;
}

static int add(const char *key) {
    int error = lock_state_global_write(key);
    if (error) return error;
    uint64_t len = sizeof(uint64_t);
    uint64_t *counter = (uint64_t *)get_state(key, &len, FAASM_STATE_CREATE | FAASM_STATE_PULL);
    if (counter) {
        *counter += 1;
        error = push_state(key);
    } else {
        error = faasm_errno();
    }
    int unlocked = unlock_state_global_write(key);
    return error ? error : unlocked;
}

static int count(const char *key, long n) {
    long done = 0;
    int error = 0;
    for (; done < n && !error; done += !error) error = add(key);
    return say(error, "counted", done);
}

static int burst(const char *key, const char *name, long from, long n) {
    long done = 0;
    int error = 0;
    for (; done < n && !error; done += !error) {
        char element[17] = { 0 };
        snprintf(element, sizeof(element), "%s-%08ld", name, from + done);
        error = append_state(key, element, 16);
    }
    return say(error, "appended", done);
}

static int elements(const char *key) {
    int64_t size = state_size(key);
    if (size < 0) return say((int)size, "elements", 0);
    char *all = malloc((size_t)size + 1);
    int64_t got = read_appended_state(key, (size_t)size, all, (size_t)size);
    if (got < 0) return say((int)got, "elements", 0);
    return write_call_output(all, (size_t)got);
}

static int hold(const char *key, long ms) {
    char holds[128];
    snprintf(holds, sizeof(holds), "%s.holds", key);
    int error = lock_state_global_write(key);
    if (!error) error = append_state(holds, "x", 1);
    if (error) return say(error, "held", 0);
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
    set_state(key, "the first", 9);
    error = push_state(key);
    unlock_state_global_write(key);
    return say(error, "held", 1);
}

static int range(const char *key, long off, long len) {
    uint8_t *bytes = get_state_offset(key, (uint64_t)off, (size_t)len, 0);
    if (!bytes) return say(faasm_errno(), "range", 0);
    long long sum = 0;
    for (long at = 0; at < len; ++at) sum += bytes[at];
    return say(0, "range", sum);
}

static int map(const char *key, long ms) {
    char maps[128];
    snprintf(maps, sizeof(maps), "%s.maps", key);
    uint64_t len = 0;
    const volatile uint8_t *bytes = get_state(key, &len, 0);
    if (!bytes) return say(faasm_errno(), "map", 0);
    long long sum = 0;
    for (uint64_t at = 0; at < len; at += 4096) sum += bytes[at];
    int error = append_state(maps, "x", 1);
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
    return say(error, "map", sum);
}

static int take(const char *key) {
    int error = lock_state_global_write(key);
    if (error) return say(error, "took", 0);
    set_state(key, "the other", 9);
    error = push_state(key);
    int unlocked = unlock_state_global_write(key);
    return say(error ? error : unlocked, "took", 1);
}

int main(int argc, char *argv[]) {
    if (argc < 3) return 1;
    const char *what = argv[1], *key = argv[2], *rest = argc > 3 ? argv[3] : "";
    if (!strcmp(what, "count")) return count(key, atol(rest));
    if (!strcmp(what, "append")) {
        char element[17] = { 0 };
        strncpy(element, rest, 16);
        return say(append_state(key, element, 16), "appended", 1);
    }
    if (!strcmp(what, "burst") && argc > 5) return burst(key, rest, atol(argv[4]), atol(argv[5]));
    if (!strcmp(what, "elements")) return elements(key);
    if (!strcmp(what, "hold")) return hold(key, atol(rest));
    if (!strcmp(what, "range")) return range(key, atol(rest), argc > 4 ? atol(argv[4]) : 0);
    if (!strcmp(what, "map")) return map(key, atol(rest));
    if (!strcmp(what, "take")) return take(key);
    return 1;
}
