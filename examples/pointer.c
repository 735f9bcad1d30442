// Chains functions of its own program by pointer: squares the numbers 1 to N, a call for each, and
// adds them up in the order in which they are ready.
//
//   faasm upload demo/pointer pointer.wasm
//   faasm invoke demo/pointer -- 20
#include <faasm.h>

#include <stdio.h>
#include <stdlib.h>

enum { MOST = 1000 };

// Runs in an instance of its own, with nothing of main's memory but the input.
static int square(void)
{
    size_t len;
    uint8_t *input = read_call_input(&len);
    if (input == NULL || len != sizeof(long))
        return 1;
    const long number = *(long *)input;
    const long result = number * number;
    return write_call_output(&result, sizeof result) < 0;
}

int main(int argc, char **argv)
{
    const long count = argc > 1 ? strtol(argv[1], NULL, 10) : 10;
    if (count < 1 || count > MOST) {
        fprintf(stderr, "pointer: the argument must be 1 to %d\n", MOST);
        return 2;
    }
    int calls[MOST];
    for (long i = 0; i < count; ++i) {
        const long number = i + 1;
        calls[i] = chain_call_ptr(square, &number, sizeof number);
        if (calls[i] < 0)
            return 1;
    }

    long sum = 0;
    for (long left = count; left > 0;) {
        const int ready = await_any(calls, (size_t)left, -1);
        uint8_t *output = ready < 0 ? NULL : get_call_output(ready, NULL);
        if (output == NULL)
            return 1;
        sum += *(long *)output;
        free(output);
        // The last one takes its place.
        --left;
        for (long i = 0; i < left; ++i) {
            if (calls[i] == ready)
                calls[i] = calls[left];
        }
    }

    char text[64];
    const int size = snprintf(text, sizeof text, "1^2 + ... + %ld^2 = %ld\n", count, sum);
    return write_call_output(text, (size_t)size) < 0;
}
