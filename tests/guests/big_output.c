// An output of as many bytes as the argument says (1 MiB if there is none): byte i is i * 31 + 7,
// so that a byte that is lost or out of place shows.
#include <faasm.h>

#include <stdlib.h>

int main(int argc, char **argv)
{
    const size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 1 << 20;
    uint8_t *data = malloc(size + 1);
    if (data == NULL)
        return 1;
    for (size_t i = 0; i < size; ++i)
        data[i] = (uint8_t)(i * 31 + 7);
    return write_call_output(data, size) < 0;
}
