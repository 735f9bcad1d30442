// The output is the input.
#include <faasm.h>

int main(void)
{
    size_t len;
    const uint8_t *input = read_call_input(&len);
    return input == NULL || write_call_output(input, len) < 0;
}
