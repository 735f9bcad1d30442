// `fan NAME COUNT INPUT` chains COUNT calls of NAME with the same input and awaits them all. The
// output is how many ended with 0.
#include <faasm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    const int count = atoi(argv[2]);
    int *calls = malloc(sizeof(int) * (size_t)count);
    for (int i = 0; i < count; ++i)
        calls[i] = chain_call(argv[1], argv[3], strlen(argv[3]));
    int well = 0;
    for (int i = 0; i < count; ++i)
        well += calls[i] >= 0 && await_call(calls[i]) == 0;
    char text[16];
    const int size = snprintf(text, sizeof text, "%d", well);
    return write_call_output(text, (size_t)size) < 0;
}
