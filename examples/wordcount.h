// What wordcount.c and wordcount_map.c share: a table of words, and the text both write.
//
// A word is a longest run of bytes other than space, \t, \n, \v, \f and \r. So the words are the
// lines of `LC_ALL=C tr -s ' \t\n\v\f\r' '\n'` that are not empty, and the totals those of
// `LC_ALL=C tr -c ' \t\n\v\f\r' x | wc`. (wc alone does not count bytes that it cannot print.)
//
// The text is a line `lines L words W bytes B`, then a line `COUNT WORD` for each word.
#ifndef WORDCOUNT_H
#define WORDCOUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct word {
    const uint8_t *text; // not owned
    size_t len;
    uint64_t count; // 0 marks a free place
};

struct counts {
    uint64_t lines, words, bytes;
    struct word *table; // open addressing, a power of two of places, at most half of them taken
    size_t places, taken;
};

static inline bool is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static inline struct word *place_of(const struct counts *counts, const uint8_t *text, size_t len)
{
    uint64_t hash = 14695981039346656037u; // FNV-1a
    for (size_t i = 0; i < len; ++i)
        hash = (hash ^ text[i]) * 1099511628211u;
    for (size_t at = hash;; ++at) {
        struct word *word = &counts->table[at & (counts->places - 1)];
        if (word->count == 0 || (word->len == len && memcmp(word->text, text, len) == 0))
            return word;
    }
}

// Doubles the table. Ends the call when there is no memory.
static inline void grow(struct counts *counts)
{
    const struct counts old = *counts;
    counts->places = old.places ? 2 * old.places : 4096;
    counts->table = calloc(counts->places, sizeof *counts->table);
    if (counts->table == NULL)
        abort();
    for (size_t i = 0; i < old.places; ++i) {
        if (old.table[i].count > 0)
            *place_of(counts, old.table[i].text, old.table[i].len) = old.table[i];
    }
    free(old.table);
}

static inline void add_word(struct counts *counts, const uint8_t *text, size_t len, uint64_t count)
{
    if (2 * counts->taken >= counts->places)
        grow(counts);
    struct word *word = place_of(counts, text, len);
    if (word->count == 0) {
        word->text = text;
        word->len = len;
        ++counts->taken;
    }
    word->count += count;
}

static inline int by_count_then_word(const void *left, const void *right)
{
    const struct word *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    const int order = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

// The words, most frequent first, then in the order of their bytes. The table is gone after it.
static inline void sort_words(struct counts *counts)
{
    size_t found = 0;
    for (size_t i = 0; i < counts->places; ++i) {
        if (counts->table[i].count > 0)
            counts->table[found++] = counts->table[i];
    }
    qsort(counts->table, found, sizeof *counts->table, by_count_then_word);
}

// The text described above, malloc'ed. The words are sorted.
static inline char *to_text(struct counts *counts, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    fprintf(out, "lines %llu words %llu bytes %llu\n", (unsigned long long)counts->lines,
            (unsigned long long)counts->words, (unsigned long long)counts->bytes);
    sort_words(counts);
    for (size_t i = 0; i < counts->taken; ++i) {
        const struct word *word = &counts->table[i];
        fprintf(out, "%llu ", (unsigned long long)word->count);
        fwrite(word->text, 1, word->len, out);
        fputc('\n', out);
    }
    fclose(out);
    return text;
}

#endif
