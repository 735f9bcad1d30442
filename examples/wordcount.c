// Counts the words of a text on all nodes: splits the input into parts, chains wordcount_map for
// each, and merges what they found. The argument is the number of parts.
//
//   faasm upload demo/wordcount_map wordcount_map.wasm --policy spread
//   faasm upload demo/wordcount wordcount.wasm
//   faasm invoke demo/wordcount --input-file book.txt -- 24
#include <faasm.h>

#include "wordcount.h"

enum { DEFAULT_PARTS = 24, MOST_PARTS = 1000 };

// Chains a call for each part; their number, or 0 when one could not be chained. A part ends where
// a word does, so there may be fewer than wanted.
static size_t chain_parts(const uint8_t *text, size_t len, size_t wanted, int *calls)
{
    size_t count = 0, start = 0;
    for (size_t part = 1; part <= wanted; ++part) {
        size_t end = (size_t)((uint64_t)len * part / wanted);
        while (end < len && !is_space(text[end]))
            ++end;
        if (end <= start)
            continue;
        const int call = chain_call("wordcount_map", text + start, end - start);
        if (call < 0) {
            fprintf(stderr, "wordcount: part %zu could not be chained: error %d\n", part, call);
            return 0;
        }
        calls[count++] = call;
        start = end;
    }
    return count;
}

// Adds the counts of one part, which stay in memory: the table points into them.
static bool merge(struct counts *counts, int call)
{
    char *at = (char *)get_call_output(call, NULL);
    if (at == NULL || await_call(call) != 0) {
        fprintf(stderr, "wordcount: a part failed: %s\n", call_error(call));
        return false;
    }
    unsigned long long lines, words, bytes;
    if (sscanf(at, "lines %llu words %llu bytes %llu", &lines, &words, &bytes) != 3)
        return false;
    counts->lines += lines;
    counts->words += words;
    counts->bytes += bytes;
    for (at = strchr(at, '\n') + 1; *at != '\0';) {
        const uint64_t count = strtoull(at, &at, 10);
        const char *word = at + 1;
        at = strchr(word, '\n');
        add_word(counts, (const uint8_t *)word, (size_t)(at - word), count);
        ++at;
    }
    return true;
}

int main(int argc, char **argv)
{
    const long parts = argc > 1 ? strtol(argv[1], NULL, 10) : DEFAULT_PARTS;
    if (parts < 1 || parts > MOST_PARTS) {
        fprintf(stderr, "wordcount: the number of parts must be 1 to %d\n", MOST_PARTS);
        return 2;
    }
    size_t len;
    uint8_t *text = read_call_input(&len);
    if (text == NULL)
        return 1;
    int calls[MOST_PARTS];
    const size_t count = chain_parts(text, len, (size_t)parts, calls);
    free(text);
    if (count == 0 && len > 0)
        return 1;

    struct counts counts = {0};
    for (size_t i = 0; i < count; ++i) {
        if (!merge(&counts, calls[i]))
            return 1;
    }
    size_t size;
    const char *output = to_text(&counts, &size);
    return write_call_output(output, size) < 0;
}
