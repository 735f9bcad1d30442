// Calls itself without end. Each turn keeps something on the stack, so that no loop is made of it.
#include <stdlib.h>
#include <string.h>

static int deeper(volatile int *depth)
{
    if (*depth < 0)
        return 0;
    volatile char kept[64];
    memset((char *)kept, *depth & 0xff, sizeof kept);
    ++*depth;
    return deeper(depth) + kept[*depth % 64];
}

int main(void)
{
    volatile int depth = 0;
    return deeper(&depth) == 0;
}
