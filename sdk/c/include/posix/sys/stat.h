// What programs expect of sys/stat.h beyond the libc's.
#ifndef FAASM_POSIX_SYS_STAT_H
#define FAASM_POSIX_SYS_STAT_H

#include_next <sys/stat.h>

#ifdef __cplusplus
extern "C" {
#endif

mode_t umask(mode_t mask);
int chmod(const char *path, mode_t mode);
int fchmod(int fd, mode_t mode);
int mkfifo(const char *path, mode_t mode);

#ifdef __cplusplus
}
#endif

#endif
