// Linked into every module: what has to happen before anything else of the program runs.
#include <stdlib.h>

// Makes the libc claim its first heap now. Some libcs take all memory up to its present end as
// heap at the first malloc, and would hand out what the host mapped there before. Before this
// constructor the host has mapped nothing. The pointer is volatile, since the compiler removes a
// malloc whose result is only freed. Priorities below 101 are the libc's and the SDK's own.
__attribute__((constructor(1))) static void claim_heap(void)
{
    void *volatile first = malloc(1);
    free(first);
}
