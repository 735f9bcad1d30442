// Operations on values under global locks, and appends. Arguments: what, a key, a number, milliseconds.
//   add KEY ID MS: under the write lock, pulls, waits MS, adds one and writes ID beside it, pushes.
//     Output: how far it came (lock, get, push, done), the new count, the ID before, an error.
//   look KEY: under the read lock, pulls. Output: done, the count, the last ID, an error.
//   append KEY ID: appends the ID, 8 bytes. Output: done, 0, 0, an error.
//   elements KEY: its output is all elements, or an error as text.
#include <faasm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct counter {
    uint64_t count, last;
};

static int say(const char *step, uint64_t count, uint64_t id, int error) {
    char text[128];
    snprintf(text, sizeof(text), "%s %llu %llu %d", step, (unsigned long long)count,
             (unsigned long long)id, error);
    write_call_output(text, strlen(text));
    return 0;
}

static int add(const char *key, uint64_t id, long ms) {
    int error = lock_state_global_write(key);
    if (error) return say("lock", 0, 0, error);
    uint64_t len = sizeof(struct counter);
    int flags = FAASM_STATE_CREATE | FAASM_STATE_PULL;
    struct counter *counter = (struct counter *)get_state(key, &len, flags);
    if (!counter) return say("get", 0, 0, faasm_errno());
    uint64_t before = counter->last;
    if (ms > 0) nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
    counter->count += 1;
    counter->last = id;
    uint64_t count = counter->count;
    error = push_state(key);
    if (error) return say("push", 0, 0, error);
    unlock_state_global_write(key);
    return say("done", count, before, 0);
}

static int look(const char *key) {
    int error = lock_state_global_read(key);
    if (error) return say("lock", 0, 0, error);
    uint64_t len = 0;
    struct counter *counter = (struct counter *)get_state(key, &len, FAASM_STATE_PULL);
    if (!counter && faasm_errno() == FAASM_ENOENT) return say("done", 0, 0, 0);
    if (!counter) return say("get", 0, 0, faasm_errno());
    uint64_t count = counter->count, last = counter->last;
    error = unlock_state_global_read(key);
    return say(error ? "unlock" : "done", count, last, error);
}

static int elements(const char *key) {
    size_t most = 1 << 20;
    char *all = malloc(most);
    int64_t got = read_appended_state(key, most, all, most);
    if (got == FAASM_ENOENT) got = 0;
    if (got < 0) return say("get", 0, 0, (int)got);
    return write_call_output(all, (size_t)got);
}

int main(int argc, char *argv[]) {
    if (argc < 3) return 1;
    const char *what = argv[1], *key = argv[2];
    uint64_t id = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    if (!strcmp(what, "add")) return add(key, id, argc > 4 ? atol(argv[4]) : 0);
    if (!strcmp(what, "look")) return look(key);
    if (!strcmp(what, "append")) return say("done", 0, 0, append_state(key, &id, sizeof(id)));
    if (!strcmp(what, "elements")) return elements(key);
    return 1;
}
