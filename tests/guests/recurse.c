// Calls itself without end. Each turn keeps much on the stack in its own memory, so that this one
// ends before the stack of the host that runs it.
#include <stdlib.h>
#include <string.h>

static int deeper(volatile int *depth)
{
    if (*depth < 0)
        return 0;
    volatile char kept[4096];
    memset((char *)kept, *depth & 0xff, sizeof kept);
    ++*depth;
    return deeper(depth) + kept[*depth % 4096];
}

int main(void)
{
    volatile int depth = 0;
    return deeper(&depth) == 0;
}
