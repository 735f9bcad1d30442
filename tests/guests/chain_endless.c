// Chains without end: "deep" (the argument or the input) a child of each child, "wide" children of
// this one call. Ends with the error number that stopped it as its output.
#include <faasm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int write_number(int number)
{
    char text[16];
    return write_call_output(text, (size_t)snprintf(text, sizeof text, "%d", number)) < 0;
}

// The error at the end of the chain comes up as the output of every call in it.
static int deep(void)
{
    const int call = chain_call("chain_endless", "deep", 4);
    if (call < 0)
        return write_number(call);
    size_t len;
    uint8_t *below = get_call_output(call, &len);
    return below ? write_call_output(below, len) < 0 : write_number(faasm_errno());
}

static int nothing(void)
{
    return 0;
}

static int wide(void)
{
    for (;;) {
        const int call = chain_call_ptr(nothing, NULL, 0);
        if (call < 0)
            return write_number(call);
    }
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : (const char *)read_call_input(NULL);
    return how && strcmp(how, "wide") == 0 ? wide() : deep();
}
