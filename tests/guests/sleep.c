// Sleeps as many milliseconds as the argument, else the input says, then outputs them.
#include <faasm.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int main(int argc, char **argv)
{
    const char *text = argc > 1 ? argv[1] : (const char *)read_call_input(NULL);
    if (text == NULL)
        return 1;
    const long ms = strtol(text, NULL, 10);
    const struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    if (nanosleep(&rest, NULL) != 0)
        return 2;
    return write_call_output(text, strlen(text)) < 0;
}
