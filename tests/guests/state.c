// Every state call of faasm.h. The first argument says what to do; the result is 0 when all was as
// it should be, else the log names the line.
#include <faasm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what)                                                                             \
    do {                                                                                        \
        if (!(what)) {                                                                          \
            printf("line %d: %s (faasm_errno %d)\n", __LINE__, #what, faasm_errno());           \
            exit(1);                                                                            \
        }                                                                                       \
    } while (0)

static const char secret[] = "this is nobody else's business";

static void values(void)
{
    uint64_t len = 0;
    CHECK(get_state("none", &len, 0) == NULL && faasm_errno() == FAASM_ENOENT);
    CHECK(state_size("none") == FAASM_ENOENT);
    CHECK(get_state("", &len, 0) == NULL && faasm_errno() == FAASM_EINVAL);
    CHECK(create_state("made", 100000) == 0 && create_state("made", 5) == FAASM_EEXIST);
    CHECK(state_size("made") == 100000);
    uint8_t *made = get_state("made", &len, 0);
    CHECK(made && len == 100000 && made[0] == 0 && made[99999] == 0);
    CHECK(get_state("made", NULL, 0) == made);
    len = 7;
    uint8_t *created = get_state("created", &len, FAASM_STATE_CREATE);
    CHECK(created && len == 7 && created != made);
    len = 8;
    CHECK(get_state("created", &len, FAASM_STATE_CREATE) == created && len == 7);

    memcpy(made + 5000, "hello", 5);
    CHECK(push_state("made") == 0);
    CHECK(push_state_offset("made", 99990, 10) == 0);
    CHECK(push_state_offset("made", 99990, 11) == FAASM_EINVAL);
    made[5000] = 'J';
    CHECK(pull_state("made") == 0 && made[5000] == 'h');
    made[5000] = 'J';
    CHECK(pull_state_offset("made", 5000, 1) == 0 && made[5000] == 'h');
    made[5001] = 'x';
    CHECK(get_state("made", &len, FAASM_STATE_PULL) == made && made[5001] == 'e');

    // A part is the same memory; the same part the same region.
    uint8_t *part = get_state_offset("made", 70000, 100, 0);
    CHECK(part == made + 70000);
    CHECK(get_state_offset("made", 99990, 11, 0) == NULL && faasm_errno() == FAASM_EINVAL);
    CHECK(release_state(made + 1) == FAASM_EINVAL);
    CHECK(release_state(made) == 0 && release_state(made) == FAASM_EINVAL);
    part[0] = 'p';
    CHECK(release_state(part) == 0);
    uint8_t *again = get_state_offset("made", 70000, 100, 0);
    CHECK(again && again[0] == 'p');

    CHECK(set_state("made", "short", 5) == 0 && state_size("made") == 5);
    CHECK(push_state("made") == 0);
    CHECK(set_state_offset("made", "--", 2, 3) == 0);
    CHECK(set_state_offset("made", "--", 2, 4) == FAASM_EINVAL);
    CHECK(set_state_offset("none", "--", 2, 0) == FAASM_ENOENT);
    CHECK(flag_state("made", 0, 1) == 0 && flag_state("made", 4, 2) == FAASM_EINVAL);
    CHECK(push_state_flagged("made") == 0);
    CHECK(pull_state("made") == 0);
    made = get_state("made", &len, 0);
    CHECK(len == 5 && memcmp(made, "sho--", 5) == 0);
    CHECK(delete_state("made") == 0 && delete_state("made") == FAASM_ENOENT);
    made[0] = 'x';
    CHECK(push_state("made") == FAASM_ESTALE && made[0] == 'x');
    CHECK(get_state("made", &len, 0) == NULL && faasm_errno() == FAASM_ENOENT);

    char read[16] = { 0 };
    CHECK(append_state("list", "one", 3) == 0 && append_state("list", "two", 3) == 0);
    CHECK(read_appended_state("list", 1, read, sizeof read) == 3 && !memcmp(read, "one", 3));
    CHECK(read_appended_state("list", 9, read, 4) == 4 && !memcmp(read, "onet", 4));
    CHECK(clear_appended_state("list") == 0);
    CHECK(read_appended_state("list", 9, read, sizeof read) == 0);
}

static void locks(void)
{
    CHECK(lock_state_read("k") == 0 && lock_state_write("k") == FAASM_EDEADLK);
    CHECK(unlock_state_write("k") == FAASM_EPERM && unlock_state_read("k") == 0);
    CHECK(unlock_state_read("k") == FAASM_EPERM);
    CHECK(lock_state_write_timeout("k", 10) == 0 && unlock_state_write("k") == 0);
    CHECK(lock_state_read_timeout("k", 0) == 0 && unlock_state_read("k") == 0);
    CHECK(create_state("g", 10) == 0);
    CHECK(lock_state_global_write("g") == 0);
    CHECK(lock_state_global_read("g") == FAASM_EDEADLK);
    CHECK(pull_state("g") == 0);
    uint8_t *g = get_state("g", NULL, 0);
    g[0] = 1;
    CHECK(push_state("g") == 0 && unlock_state_global_write("g") == 0);
    CHECK(unlock_state_global_write("g") == FAASM_EPERM);
    CHECK(lock_state_global_read_timeout("g", 100) == 0 && push_state("g") == FAASM_EPERM);
    CHECK(unlock_state_global_read("g") == 0);
    CHECK(lock_state_global_write_timeout("g", 100) == 0 && unlock_state_global_write("g") == 0);
}

// Values that do not fit into this memory; regions that come and go.
static void large(void)
{
    const uint64_t size = 5ull << 30;
    CHECK(create_state("large", size) == 0 && state_size("large") == (int64_t)size);
    CHECK(get_state("large", NULL, 0) == NULL && faasm_errno() == FAASM_ETOOBIG);
    uint8_t *end = get_state_offset("large", size - 3, 3, 0);
    CHECK(end);
    memcpy(end, "end", 3);
    CHECK(push_state("large") == 0);
    uint8_t *first = NULL;
    for (int n = 0; n < 3000; ++n) {
        uint8_t *part = get_state_offset("large", (uint64_t)n << 17, 1 << 16, 0);
        CHECK(part && (!first || part == first));
        first = part;
        CHECK(release_state(part) == 0);
    }
    int count = 0;
    while (get_state_offset("large", (uint64_t)count << 17, 1, 0))
        ++count;
    CHECK(faasm_errno() == FAASM_ELIMIT && count > 1000 && count < 1024);
}

// Memory that the libc gets beside regions stays its own.
static void heap(void)
{
    uint64_t len = 100000;
    uint8_t *value = get_state("heap", &len, FAASM_STATE_CREATE);
    uint8_t *block = malloc(10 << 20);
    CHECK(value && block);
    memset(block, 7, 10 << 20);
    CHECK(value[0] == 0 && value[99999] == 0);
    CHECK(get_state_offset("heap", 0, 1, 0) == value);
}

static void keep(const char *how)
{
    uint64_t len = sizeof secret;
    uint8_t *value = get_state("secret", &len, FAASM_STATE_CREATE);
    CHECK(value);
    memcpy(value, secret, sizeof secret);
    CHECK(push_state("secret") == 0);
    if (!strcmp(how, "trap"))
        __builtin_trap();
    if (!strcmp(how, "loop"))
        for (volatile int forever = 1; forever;) {}
    if (!strcmp(how, "limit"))
        for (;;)
            puts("a long line that is written again and again until the log is full");
}

// Looks through memory that was a region of the instance before.
static void peek(void)
{
    const size_t before = __builtin_wasm_memory_size(0);
    CHECK(__builtin_wasm_memory_grow(0, 64) == before);
    const volatile uint8_t *at = (const uint8_t *)(before * 65536);
    for (size_t n = 0; n < 64 * 65536; ++n)
        CHECK(at[n] == 0);
}

static void share(const char *side)
{
    uint64_t len = 8;
    volatile uint8_t *value = get_state("shared", &len, FAASM_STATE_CREATE);
    CHECK(value);
    const int at = *side == 'a' ? 0 : 1;
    for (int n = 1; n < 100; ++n) {
        if (at == 0)
            value[0] = (uint8_t)n;
        while (value[at ^ 1] != n && value[at ^ 1] != n + 1) {}
        if (at == 1)
            value[1] = (uint8_t)n;
    }
}

// Reads all that is mapped, for ever.
static void reader(void)
{
    uint64_t len = 0;
    volatile uint8_t *value = get_state("changing", &len, 0);
    CHECK(value && len > 200000);
    for (;;)
        for (uint64_t at = 0; at < 262144; at += 64)
            (void)value[at];
}

int main(int argc, char **argv)
{
    CHECK(argc > 1);
    if (!strcmp(argv[1], "values"))
        values();
    else if (!strcmp(argv[1], "locks"))
        locks();
    else if (!strcmp(argv[1], "large"))
        large();
    else if (!strcmp(argv[1], "heap"))
        heap();
    else if (!strcmp(argv[1], "keep"))
        keep(argc > 2 ? argv[2] : "");
    else if (!strcmp(argv[1], "peek"))
        peek();
    else if (!strcmp(argv[1], "share"))
        share(argv[2]);
    else if (!strcmp(argv[1], "reader"))
        reader();
    else
        return 2;
    return 0;
}
