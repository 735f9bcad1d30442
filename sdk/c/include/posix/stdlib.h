// What programs expect of stdlib.h beyond the libc's.
#ifndef FAASM_POSIX_STDLIB_H
#define FAASM_POSIX_STDLIB_H

#include_next <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

int system(const char *command);
int mkstemp(char *name);
char *mkdtemp(char *name);
char *mktemp(char *name);
char *realpath(const char *__restrict path, char *__restrict resolved);
void *memalign(size_t alignment, size_t size);
void *valloc(size_t size);
char *secure_getenv(const char *name);
int getloadavg(double *loads, int count);

#ifdef __cplusplus
}
#endif

#endif
