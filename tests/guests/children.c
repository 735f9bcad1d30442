// The calls of faasm.h, each with what it promises: chains echo, sleep, exit_code and trap of the
// same user and functions of its own. Returns 0, or the line where a promise was broken.
#include <faasm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int global = 1;

#define CHECK(promise)                                                                             \
    do {                                                                                           \
        if (!(promise)) {                                                                          \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #promise);                          \
            exit(__LINE__ % 256 ? __LINE__ % 256 : 1);                                             \
        }                                                                                          \
    } while (0)

// What this instance did to its memory must not be seen by the functions that it chains.
static int report_global(void)
{
    char text[16];
    return write_call_output(text, (size_t)snprintf(text, sizeof text, "%d", global)) < 0;
}

static int seven(void)
{
    return 7;
}

static void check_outputs(void)
{
    const char with_nul[] = "a\0b";
    const int call = chain_call("echo", with_nul, 3);
    CHECK(call >= 0);
    size_t len = 99;
    uint8_t *output = get_call_output(call, &len);
    CHECK(output && len == 3 && memcmp(output, with_nul, 4) == 0);
    free(output);
    CHECK(await_call(call) == 0 && await_call(call) == 0);
    // Again after it was awaited, and an empty one is not NULL.
    output = get_call_output(call, NULL);
    CHECK(output && memcmp(output, with_nul, 4) == 0);
    output = get_call_output(chain_call("echo", NULL, 0), &len);
    CHECK(output && len == 0 && output[0] == '\0');
}

static void check_pointers(void)
{
    global = 2;
    const int call = chain_call_ptr(report_global, NULL, 0);
    uint8_t *output = get_call_output(call, NULL);
    CHECK(output && strcmp((char *)output, "1") == 0);
    CHECK(await_call(chain_call_ptr(seven, NULL, 0)) == 7);
    CHECK(chain_call_ptr((int (*)(void))1, NULL, 0) == FAASM_EINVAL);
    CHECK(chain_call_ptr((int (*)(void))0x7fffffff, NULL, 0) == FAASM_EINVAL);
}

static void check_errors(void)
{
    CHECK(chain_call("no-such-function", NULL, 0) == FAASM_ENOENT);
    CHECK(chain_call("../bad name", NULL, 0) == FAASM_EINVAL);
    CHECK(await_call(12345) == FAASM_EINVAL && await_call(-1) == FAASM_EINVAL);
    CHECK(get_call_output(12345, NULL) == NULL && faasm_errno() == FAASM_EINVAL);
    CHECK(cancel_call(12345) == FAASM_EINVAL && call_error(12345) == NULL);
    CHECK(await_any(NULL, 0, -1) == FAASM_EINVAL);

    const int trapped = chain_call("trap", NULL, 0);
    CHECK(await_call(trapped) == FAASM_EFAILED);
    CHECK(get_call_output(trapped, NULL) == NULL && faasm_errno() == FAASM_EFAILED);
    char *text = call_error(trapped);
    CHECK(text && strlen(text) > 0);
    text = call_error(chain_call("echo", NULL, 0));
    CHECK(text && text[0] == '\0');
}

static void check_waiting(void)
{
    const int slow = chain_call("sleep", "20000", 5), fast = chain_call("sleep", "1", 1);
    const int both[] = {slow, fast};
    CHECK(await_call_timeout(slow, 0) == FAASM_ETIMEDOUT);
    CHECK(await_call_timeout(slow, 20) == FAASM_ETIMEDOUT);
    CHECK(await_any(both, 1, 20) == FAASM_ETIMEDOUT);
    CHECK(await_any(both, 2, -1) == fast && await_any(both, 2, 0) == fast);
    CHECK(cancel_call(slow) == 0);
    CHECK(await_call(slow) == FAASM_ECANCELLED);
    CHECK(cancel_call(slow) == 0 && cancel_call(fast) == 0);
    CHECK(await_call(fast) == 0);
}

int main(void)
{
    check_outputs();
    check_pointers();
    check_errors();
    check_waiting();
    return 0;
}
