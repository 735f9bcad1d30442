// A chained function finds what constructors and the zygote made, and nothing of main.
#include <faasm/faasm.h>

#include <faasm.h>

#include <stdio.h>
#include <string.h>

static int prepared, from_main;

__attribute__((constructor)) static void prepare(void)
{
    prepared += 1;
}

FAASM_ZYGOTE()
{
    prepared += 10;
    return 0;
}

static int report(void)
{
    char text[32];
    const int size = snprintf(text, sizeof text, "%d %d", prepared, from_main);
    puts("a line of a chained function");
    return write_call_output(text, (size_t)size) < 0;
}

int main(void)
{
    from_main = 1;
    size_t len;
    const uint8_t *output = get_call_output(chain_call_ptr(report, NULL, 0), &len);
    return output == NULL || write_call_output(output, len) < 0;
}
