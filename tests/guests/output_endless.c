// Writes an output of 1 GiB: in one piece of 64 MiB more at each turn, so that the limit is met on
// the way whatever it is. Succeeds only if no limit stops it.
#include <faasm.h>

#include <stdlib.h>

int main(void)
{
    const size_t step = 64u << 20;
    char *data = NULL;
    for (size_t size = step; size <= (1u << 30); size += step) {
        char *more = realloc(data, size);
        if (more == NULL)
            return 1;
        data = more;
        if (write_call_output(data, size) < 0)
            return 2;
    }
    return 0;
}
