// Writes a log of 1 GiB, half to stdout and half to stderr.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
    static char line[64 << 10];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (size_t written = 0; written < (1u << 30); written += 2 * sizeof line) {
        if (write(1, line, sizeof line) < 0 || write(2, line, sizeof line) < 0)
            return 1;
    }
    return 0;
}
