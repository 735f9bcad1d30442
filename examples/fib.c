// Fibonacci numbers by a tree of calls: each call chains two more of its own function by name.
//
//   faasm upload demo/fib fib.wasm
//   faasm invoke demo/fib --input 10
#include <faasm.h>

#include <stdio.h>
#include <stdlib.h>

static int write_number(unsigned long number)
{
    char text[24];
    return write_call_output(text, (size_t)snprintf(text, sizeof text, "%lu\n", number)) < 0;
}

static int chain_fib(long n)
{
    char text[24];
    return chain_call("fib", text, (size_t)snprintf(text, sizeof text, "%ld", n));
}

// Adds the output of a call; 0 when all went well.
static int add_output(int call_id, unsigned long *sum)
{
    uint8_t *output = call_id < 0 ? NULL : get_call_output(call_id, NULL);
    if (output == NULL) {
        fprintf(stderr, "fib: error %d\n", call_id < 0 ? call_id : faasm_errno());
        return 1;
    }
    *sum += strtoul((char *)output, NULL, 10);
    free(output);
    return 0;
}

int main(void)
{
    uint8_t *input = read_call_input(NULL);
    if (input == NULL)
        return 1;
    const long n = strtol((char *)input, NULL, 10);
    if (n < 2)
        return write_number(n < 0 ? 0 : (unsigned long)n);

    // Both run at once; only then are they waited for.
    const int first = chain_fib(n - 1), second = chain_fib(n - 2);
    unsigned long sum = 0;
    if (add_output(first, &sum) || add_output(second, &sum))
        return 1;
    return write_number(sum);
}
