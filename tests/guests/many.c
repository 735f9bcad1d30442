// Chains `many COUNT` calls of echo with an input of its own each, and checks every output. A call
// that was lost with its node is made again, so that the job survives the loss of nodes; the
// output is the number of calls and how often one was made again.
#include <faasm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TRIES = 100 };

static int chain(long index)
{
    char input[32];
    return chain_call("echo", input, (size_t)snprintf(input, sizeof input, "call %ld", index));
}

// 1 when the output is right, 0 when the call was lost and can be made again, -1 when it is wrong.
static int check(int call, long index)
{
    char expected[32];
    const size_t size = (size_t)snprintf(expected, sizeof expected, "call %ld", index);
    size_t len;
    uint8_t *output = get_call_output(call, &len);
    if (output == NULL)
        return faasm_errno() == FAASM_EHOSTLOST ? 0 : -1;
    const int right = len == size && memcmp(output, expected, size) == 0;
    free(output);
    return right ? 1 : -1;
}

int main(int argc, char **argv)
{
    const long count = argc > 1 ? strtol(argv[1], NULL, 10) : 100;
    int *calls = malloc(sizeof(int) * (size_t)count);
    for (long i = 0; i < count; ++i)
        calls[i] = chain(i);

    long again = 0;
    for (long i = 0; i < count; ++i) {
        int right = 0;
        for (int tries = 0; right == 0 && tries < MOST_TRIES; ++tries) {
            if (calls[i] < 0) {
                fprintf(stderr, "call %ld could not be chained: %d\n", i, calls[i]);
                return 4;
            }
            right = check(calls[i], i);
            if (right == 0) {
                ++again;
                calls[i] = chain(i);
            }
        }
        if (right != 1) {
            fprintf(stderr, "call %ld: wrong output, or error %d\n", i, faasm_errno());
            return 3;
        }
    }
    char text[64];
    const int size = snprintf(text, sizeof text, "%ld calls, %ld again", count, again);
    return write_call_output(text, (size_t)size) < 0;
}
