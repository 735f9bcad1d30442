// Traps in the way that the argument names.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int two_arguments(int a, int b)
{
    return a + b;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "unreachable";
    puts("about to trap");
    fflush(stdout);
    volatile int one = 1, zero = 0;
    if (strcmp(how, "divide") == 0)
        return one / zero;
    if (strcmp(how, "memory") == 0)
        return *(volatile int *)0xfffffff0u;
    if (strcmp(how, "signature") == 0) {
        int (*volatile wrong)(void) = (int (*)(void))(void *)two_arguments;
        return wrong();
    }
    if (strcmp(how, "abort") == 0)
        abort();
    __builtin_trap();
}
