// There are no child processes: waiting for one fails with ECHILD.
#ifndef FAASM_POSIX_SYS_WAIT_H
#define FAASM_POSIX_SYS_WAIT_H

#include <sys/types.h>

#define WNOHANG 1
#define WUNTRACED 2
#define WEXITSTATUS(status) (((status)&0xff00) >> 8)
#define WTERMSIG(status) ((status)&0x7f)
#define WSTOPSIG(status) WEXITSTATUS(status)
#define WIFEXITED(status) (WTERMSIG(status) == 0)
#define WIFSIGNALED(status) (((status)&0xffff) - 1U < 0xffu)
#define WIFSTOPPED(status) (((status)&0xff) == 0x7f)
#define WCOREDUMP(status) ((status)&0x80)

#ifdef __cplusplus
extern "C" {
#endif

pid_t wait(int *status);
pid_t waitpid(pid_t pid, int *status, int options);

#ifdef __cplusplus
}
#endif

#endif
