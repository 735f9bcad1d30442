// Greets: the output is the arguments, then the input. What it prints goes to the call's log.
//
//   faasm upload demo/hello hello.wasm
//   faasm invoke demo/hello --input 'good morning' -- Ada Grace
#include <faasm.h>

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    size_t len;
    uint8_t *input = read_call_input(&len);
    if (input == NULL)
        return 1;
    printf("%d arguments, %zu bytes of input\n", argc - 1, len);

    char *output = NULL;
    size_t size = 0;
    FILE *text = open_memstream(&output, &size);
    fprintf(text, "Hello");
    for (int i = 1; i < argc; ++i)
        fprintf(text, " %s", argv[i]);
    fprintf(text, ": ");
    fwrite(input, 1, len, text);
    fprintf(text, "\n");
    fclose(text);

    return write_call_output(output, size) < 0;
}
