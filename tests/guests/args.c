// The output is argv, one argument a line; stdout gets their number, stderr the last one.
#include <faasm.h>

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    char *output = NULL;
    size_t size = 0;
    FILE *text = open_memstream(&output, &size);
    for (int i = 0; i < argc; ++i)
        fprintf(text, "%s\n", argv[i]);
    fclose(text);
    printf("%d arguments\n", argc);
    fprintf(stderr, "last: %s\n", argv[argc - 1]);
    return write_call_output(output, size) < 0;
}
