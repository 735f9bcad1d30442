// Counts the words of its input. One part of wordcount.c's work; runs by itself as well.
#include <faasm.h>

#include "wordcount.h"

int main(void)
{
    struct counts counts = {0};
    size_t len;
    const uint8_t *input = read_call_input(&len);
    if (input == NULL)
        return 1;

    counts.bytes = len;
    for (size_t at = 0; at < len;) {
        if (is_space(input[at])) {
            counts.lines += input[at++] == '\n';
            continue;
        }
        const size_t start = at;
        while (at < len && !is_space(input[at]))
            ++at;
        add_word(&counts, input + start, at - start, 1);
        ++counts.words;
    }

    size_t size;
    const char *output = to_text(&counts, &size);
    return write_call_output(output, size) < 0;
}
