// Tells one run from another: sleeps as many milliseconds as the argument says, writes `ran` and a
// random number to the log, and outputs its input with the same number behind it.
#include <faasm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    const long ms = argc > 1 ? atol(argv[1]) : 0;
    unsigned long long number;
    if (getentropy(&number, sizeof number) != 0)
        return 2;
    printf("ran %016llx\n", number);
    fflush(stdout);
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    if (ms > 0 && nanosleep(&time, NULL) != 0)
        return 3;
    size_t len;
    const char *input = (const char *)read_call_input(&len);
    char *output = malloc(len + 32);
    if (input == NULL || output == NULL)
        return 4;
    const int size = sprintf(output, "%s %016llx", input, number);
    return write_call_output(output, (size_t)size) < 0;
}
