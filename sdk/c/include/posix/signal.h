// What programs expect of signal.h beyond the libc's: handlers are called by raise only, since no
// signal comes from outside.
#ifndef FAASM_POSIX_SIGNAL_H
#define FAASM_POSIX_SIGNAL_H

#include <sys/types.h>
#include_next <signal.h>

#ifndef SA_NOCLDSTOP
#define SA_NOCLDSTOP 1
#define SA_NOCLDWAIT 2
#define SA_SIGINFO 4
#define SA_ONSTACK 0x08000000
#define SA_RESTART 0x10000000
#define SA_NODEFER 0x40000000
#define SA_RESETHAND 0x80000000
#endif
#ifndef SIG_BLOCK
#define SIG_BLOCK 0
#define SIG_UNBLOCK 1
#define SIG_SETMASK 2
#endif
#ifndef SIGHUP
#define SIGHUP 1
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define __NEED_sigset_t
#define __NEED_pthread_t
#include <bits/alltypes.h>

union sigval {
    int sival_int;
    void *sival_ptr;
};

typedef struct {
    int si_signo;
    int si_errno;
    int si_code;
    pid_t si_pid;
    uid_t si_uid;
    int si_status;
    void *si_addr;
    union sigval si_value;
} siginfo_t;

struct sigaction {
    union {
        void (*sa_handler)(int);
        void (*sa_sigaction)(int, siginfo_t *, void *);
    } __faasm_handler;
    sigset_t sa_mask;
    int sa_flags;
    void (*sa_restorer)(void);
};
#define sa_handler __faasm_handler.sa_handler
#define sa_sigaction __faasm_handler.sa_sigaction

typedef struct {
    void *ss_sp;
    int ss_flags;
    size_t ss_size;
} stack_t;

int kill(pid_t pid, int number);
int killpg(pid_t group, int number);
int sigemptyset(sigset_t *set);
int sigfillset(sigset_t *set);
int sigaddset(sigset_t *set, int number);
int sigdelset(sigset_t *set, int number);
int sigismember(const sigset_t *set, int number);
int sigprocmask(int how, const sigset_t *__restrict set, sigset_t *__restrict old);
int sigpending(sigset_t *set);
int sigsuspend(const sigset_t *set);
int sigaction(int number, const struct sigaction *__restrict action,
              struct sigaction *__restrict old);
int sigaltstack(const stack_t *__restrict stack, stack_t *__restrict old);
int siginterrupt(int number, int flag);
int pthread_sigmask(int how, const sigset_t *__restrict set, sigset_t *__restrict old);
int pthread_kill(pthread_t thread, int number);

#ifdef __cplusplus
}
#endif

#endif
