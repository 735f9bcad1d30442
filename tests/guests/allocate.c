// Allocates and touches memory until there is no more, then says how much there was: the output is
// the number of MiB. malloc gives NULL at the limit; the call goes on and ends well.
#include <faasm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Read by nobody, but the compiler cannot know: it would take a malloc away that nobody uses.
char *volatile last;

int main(void)
{
    enum { MIB = 1 << 20 };
    int count = 0;
    for (; (last = malloc(MIB)) != NULL; ++count)
        memset(last, count, MIB);
    char text[16];
    return write_call_output(text, (size_t)snprintf(text, sizeof text, "%d", count)) < 0;
}
