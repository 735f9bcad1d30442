// Signals of a program that gets none from outside: what it raises itself reaches its handlers.
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define LAST 64

static struct sigaction actions[LAST + 1];
static sigset_t blocked;

static int check(int number)
{
    if (number >= 1 && number <= LAST)
        return 0;
    errno = EINVAL;
    return -1;
}

// What the libc calls for every signal that has an action of ours.
static void deliver(int number)
{
    struct sigaction action = actions[number];
    if ((action.sa_flags & (int)SA_RESETHAND) != 0)
        actions[number] = (struct sigaction){0};
    else
        signal(number, deliver);
    if ((action.sa_flags & SA_SIGINFO) != 0) {
        siginfo_t info = {.si_signo = number, .si_pid = getpid(), .si_uid = getuid()};
        action.sa_sigaction(number, &info, NULL);
    } else {
        action.sa_handler(number);
    }
}

int sigaction(int number, const struct sigaction *__restrict action,
              struct sigaction *__restrict old)
{
    if (check(number) != 0)
        return -1;
    if (number == SIGKILL || number == SIGSTOP) {
        errno = EINVAL;
        return -1;
    }
    if (old != NULL)
        *old = actions[number];
    if (action == NULL)
        return 0;
    void (*handler)(int) = action->sa_handler;
    int own = handler != SIG_DFL && handler != SIG_IGN;
    if (signal(number, own ? deliver : handler) == SIG_ERR)
        return -1;
    actions[number] = *action;
    return 0;
}

int kill(pid_t pid, int number)
{
    if (pid == getpid() || pid == 0)
        return number == 0 ? 0 : raise(number);
    errno = ESRCH;
    return -1;
}

int killpg(pid_t group, int number) { return kill(group, number); }

int pthread_kill(pthread_t thread, int number)
{
    (void)thread;
    return number == 0 || raise(number) == 0 ? 0 : errno;
}

static unsigned char *bits(const sigset_t *set) { return (unsigned char *)(uintptr_t)set; }

int sigemptyset(sigset_t *set)
{
    memset(set, 0, sizeof *set);
    return 0;
}

int sigfillset(sigset_t *set)
{
    memset(set, 0xff, sizeof *set);
    return 0;
}

int sigaddset(sigset_t *set, int number)
{
    if (check(number) != 0)
        return -1;
    number -= 1;
    if ((size_t)number / 8 < sizeof *set)
        bits(set)[number / 8] |= (unsigned char)(1 << number % 8);
    return 0;
}

int sigdelset(sigset_t *set, int number)
{
    if (check(number) != 0)
        return -1;
    number -= 1;
    if ((size_t)number / 8 < sizeof *set)
        bits(set)[number / 8] &= (unsigned char)~(1 << number % 8);
    return 0;
}

int sigismember(const sigset_t *set, int number)
{
    if (check(number) != 0)
        return -1;
    number -= 1;
    return (size_t)number / 8 < sizeof *set && (bits(set)[number / 8] >> number % 8 & 1) != 0;
}

// Kept, and asked for again: raise does not look at it.
int sigprocmask(int how, const sigset_t *__restrict set, sigset_t *__restrict old)
{
    if (old != NULL)
        *old = blocked;
    for (size_t at = 0; set != NULL && at < sizeof blocked; at++) {
        unsigned char *byte = bits(&blocked) + at;
        if (how == SIG_BLOCK)
            *byte |= bits(set)[at];
        else if (how == SIG_UNBLOCK)
            *byte &= (unsigned char)~bits(set)[at];
        else
            *byte = bits(set)[at];
    }
    return 0;
}

int pthread_sigmask(int how, const sigset_t *__restrict set, sigset_t *__restrict old)
{
    return sigprocmask(how, set, old);
}

int sigpending(sigset_t *set) { return sigemptyset(set); }

// Nothing would ever wake it.
int sigsuspend(const sigset_t *set)
{
    (void)set;
    errno = ENOSYS;
    return -1;
}

int pause(void)
{
    errno = ENOSYS;
    return -1;
}

int sigaltstack(const stack_t *__restrict stack, stack_t *__restrict old)
{
    (void)stack;
    if (old != NULL)
        memset(old, 0, sizeof *old);
    return 0;
}

int siginterrupt(int number, int flag)
{
    (void)flag;
    return check(number);
}

unsigned alarm(unsigned seconds)
{
    (void)seconds;
    return 0;
}

unsigned ualarm(unsigned microseconds, unsigned interval)
{
    (void)microseconds, (void)interval;
    return 0;
}

int getitimer(int which, struct itimerval *value)
{
    (void)which;
    memset(value, 0, sizeof *value);
    return 0;
}

int setitimer(int which, const struct itimerval *__restrict value,
              struct itimerval *__restrict old)
{
    (void)which, (void)value;
    if (old != NULL)
        memset(old, 0, sizeof *old);
    return 0;
}
