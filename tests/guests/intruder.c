// Tries to reach what belongs to others: functions of other users, by every way to write their name
// (the arguments), and calls that this instance did not make. Outputs "kept out"; else it fails with
// the line where something was reached.
#include <faasm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reached(int line, const char *what, long got)
{
    fprintf(stderr, "line %d: %s: %ld\n", line, what, got);
    exit(line % 256 ? line % 256 : 1);
}

static void try_name(const char *name)
{
    const int call = chain_call(name, "1", 1);
    if (call != FAASM_ENOENT && call != FAASM_EINVAL)
        reached(__LINE__, name, call);
}

static void try_handle(int call)
{
    size_t len = 0;
    if (await_call_timeout(call, 10) != FAASM_EINVAL)
        reached(__LINE__, "await", call);
    if (get_call_output(call, &len) != NULL)
        reached(__LINE__, "output", call);
    if (cancel_call(call) != FAASM_EINVAL)
        reached(__LINE__, "cancel", call);
    if (await_any(&call, 1, 10) != FAASM_EINVAL)
        reached(__LINE__, "await any", call);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; ++i)
        try_name(argv[i]);
    // Longer than any name, and with a NUL inside.
    char name[1000];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    try_name(name);
    for (int call = 0; call < 200; ++call)
        try_handle(call);
    const int odd[] = {-1, 1 << 20, 0x7fffffff, (int)0x80000000};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; ++i)
        try_handle(odd[i]);
    return write_call_output("kept out", 8) < 0;
}
