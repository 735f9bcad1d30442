// Whether the libc's heap and memory that somebody else added live side by side. As its first act
// main adds memory as the host does for a mapping, and fills it; then it mallocs 10 MiB in pieces,
// small and large, and adds again on the way. Nothing of what it added may be handed out or
// change, and nothing that was malloc'ed either. Returns 0, or the step that failed.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 1 << 16, PAGES = 8, MAPPINGS = 4, BLOCKS = 320, MIB = 1 << 20 };

static uint8_t *mappings[MAPPINGS];
static uint8_t *blocks[BLOCKS];
static size_t sizes[BLOCKS];

static bool map(int index)
{
    const size_t page = __builtin_wasm_memory_grow(0, PAGES);
    if (page == SIZE_MAX)
        return false;
    mappings[index] = (uint8_t *)(page * PAGE);
    memset(mappings[index], 0xa0 + index, PAGES * PAGE);
    return true;
}

static bool holds(const uint8_t *at, size_t size, uint8_t value)
{
    for (size_t i = 0; i < size; ++i) {
        if (at[i] != value)
            return false;
    }
    return true;
}

static bool all_as_written(int mapped, int allocated)
{
    for (int i = 0; i < mapped; ++i) {
        if (!holds(mappings[i], PAGES * PAGE, (uint8_t)(0xa0 + i)))
            return false;
    }
    for (int i = 0; i < allocated; ++i) {
        if (!holds(blocks[i], sizes[i], (uint8_t)i))
            return false;
    }
    return true;
}

__attribute__((export_name("heap_check"))) int heap_check(void)
{
    int mapped = 0;
    if (!map(mapped++))
        return 1;
    size_t total = 0;
    for (int i = 0; i < BLOCKS; ++i) {
        sizes[i] = i % 40 == 39 ? MIB : (size_t)(16 + i * 97 % 20000);
        blocks[i] = malloc(sizes[i]);
        if (blocks[i] == NULL)
            return 2;
        memset(blocks[i], i, sizes[i]);
        total += sizes[i];
        if (i % 100 == 99 && !map(mapped++))
            return 3;
    }
    if (total < 10u * MIB || !all_as_written(mapped, BLOCKS))
        return 4;
    // What was freed is used again, still beside the mappings.
    for (int i = 0; i < BLOCKS; i += 2) {
        free(blocks[i]);
        blocks[i] = malloc(sizes[i]);
        if (blocks[i] == NULL)
            return 5;
        memset(blocks[i], i, sizes[i]);
    }
    return all_as_written(mapped, BLOCKS) ? 0 : 6;
}

int main(void)
{
    return heap_check();
}
