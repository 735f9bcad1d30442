// What programs expect of malloc.h beyond the libc's.
#ifndef FAASM_POSIX_MALLOC_H
#define FAASM_POSIX_MALLOC_H

#include_next <malloc.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mallinfo {
    int arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

#define M_TRIM_THRESHOLD (-1)
#define M_TOP_PAD (-2)
#define M_MMAP_THRESHOLD (-3)
#define M_MMAP_MAX (-4)

void *memalign(size_t alignment, size_t size);
void *valloc(size_t size);
void *pvalloc(size_t size);
// Only the size of the memory is known: it is given as in use.
struct mallinfo mallinfo(void) __asm__("faasm_mallinfo");
int mallopt(int parameter, int value) __asm__("faasm_mallopt");
int malloc_trim(size_t keep) __asm__("faasm_malloc_trim");

#ifdef __cplusplus
}
#endif

#endif
