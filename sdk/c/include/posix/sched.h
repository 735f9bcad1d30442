// What programs expect of sched.h beyond the libc's: a rank has one processor.
#ifndef FAASM_POSIX_SCHED_H
#define FAASM_POSIX_SCHED_H

#include_next <sched.h>

#include <stddef.h>
#include <string.h>
#include <sys/types.h>

#ifndef CPU_SETSIZE
#define CPU_SETSIZE 128
typedef struct cpu_set_t {
    unsigned char __bits[CPU_SETSIZE / 8];
} cpu_set_t;
#define CPU_ZERO(set) memset((set), 0, sizeof(cpu_set_t))
#define CPU_SET(n, set) ((void)((set)->__bits[(n) / 8] |= (unsigned char)(1u << ((n) % 8))))
#define CPU_CLR(n, set) ((void)((set)->__bits[(n) / 8] &= (unsigned char)~(1u << ((n) % 8))))
#define CPU_ISSET(n, set) ((((set)->__bits[(n) / 8]) >> ((n) % 8)) & 1)
static __inline int __faasm_cpu_count(const cpu_set_t *set)
{
    int count = 0;
    for (int n = 0; n < CPU_SETSIZE; n++)
        count += CPU_ISSET(n, set);
    return count;
}
#define CPU_COUNT(set) __faasm_cpu_count(set)
#endif

#ifdef __cplusplus
extern "C" {
#endif

int sched_getcpu(void);
int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);
int sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *set);

#ifdef __cplusplus
}
#endif

#endif
