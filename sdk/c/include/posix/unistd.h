// What programs expect of unistd.h beyond the libc's. There is one process, whose calls for others
// fail with ENOSYS.
#ifndef FAASM_POSIX_UNISTD_H
#define FAASM_POSIX_UNISTD_H

#include_next <unistd.h>

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

pid_t fork(void);
pid_t vfork(void);
int execl(const char *path, const char *arg, ...);
int execle(const char *path, const char *arg, ...);
int execlp(const char *file, const char *arg, ...);
int execv(const char *path, char *const argv[]);
int execve(const char *path, char *const argv[], char *const environment[]);
int execvp(const char *file, char *const argv[]);
int pipe(int ends[2]);
int dup(int fd);
int dup2(int fd, int as);
pid_t getppid(void);
pid_t getpgrp(void);
pid_t getpgid(pid_t pid);
pid_t getsid(pid_t pid);
pid_t setsid(void);
int setpgid(pid_t pid, pid_t group);
uid_t getuid(void);
uid_t geteuid(void);
gid_t getgid(void);
gid_t getegid(void);
int setuid(uid_t uid);
int setgid(gid_t gid);
char *getlogin(void);
char *ttyname(int fd);
int nice(int by);
void sync(void);
// There are no signals from outside: an alarm never rings.
unsigned alarm(unsigned seconds);
unsigned ualarm(unsigned microseconds, unsigned interval);
int pause(void);
int getpagesize(void);
int gethostname(char *name, size_t size) __asm__("faasm_gethostname");
int chown(const char *path, uid_t owner, gid_t group);
// The libc does not know how much memory there can be.
long faasm_sysconf(int name);

#ifdef __cplusplus
}
#endif

#define sysconf(name) faasm_sysconf(name)

#endif
