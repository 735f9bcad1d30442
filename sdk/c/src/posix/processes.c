// There is one process: what would make or wait for another fails, with errno saying why.
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int refuse(int error)
{
    errno = error;
    return -1;
}

pid_t fork(void) { return refuse(ENOSYS); }

pid_t vfork(void) { return refuse(ENOSYS); }

int execl(const char *path, const char *arg, ...)
{
    (void)path, (void)arg;
    return refuse(ENOSYS);
}

int execle(const char *path, const char *arg, ...)
{
    (void)path, (void)arg;
    return refuse(ENOSYS);
}

int execlp(const char *file, const char *arg, ...)
{
    (void)file, (void)arg;
    return refuse(ENOSYS);
}

int execv(const char *path, char *const argv[])
{
    (void)path, (void)argv;
    return refuse(ENOSYS);
}

int execve(const char *path, char *const argv[], char *const environment[])
{
    (void)path, (void)argv, (void)environment;
    return refuse(ENOSYS);
}

int execvp(const char *file, char *const argv[])
{
    (void)file, (void)argv;
    return refuse(ENOSYS);
}

// Without a command it asks whether there is a shell.
int system(const char *command) { return command == NULL ? 0 : refuse(ENOSYS); }

FILE *popen(const char *command, const char *mode)
{
    (void)command, (void)mode;
    errno = ENOSYS;
    return NULL;
}

int pclose(FILE *stream)
{
    (void)stream;
    return refuse(ECHILD);
}

pid_t wait(int *status)
{
    (void)status;
    return refuse(ECHILD);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
    (void)pid, (void)status, (void)options;
    return refuse(ECHILD);
}

int pipe(int ends[2])
{
    (void)ends;
    return refuse(ENOSYS);
}

int dup(int fd)
{
    (void)fd;
    return refuse(ENOSYS);
}

int dup2(int fd, int as)
{
    return fd == as ? fd : refuse(ENOSYS);
}

// Each rank has a number of its own.
pid_t getpid(void)
{
    const char *rank = getenv("PMI_RANK");
    return 42 + (rank != NULL ? atoi(rank) : 0);
}

pid_t getppid(void) { return 1; }

pid_t getpgrp(void) { return getpid(); }

pid_t getpgid(pid_t pid) { return pid == 0 || pid == getpid() ? getpid() : refuse(ESRCH); }

pid_t getsid(pid_t pid) { return getpgid(pid); }

pid_t setsid(void) { return refuse(EPERM); }

int setpgid(pid_t pid, pid_t group)
{
    (void)pid, (void)group;
    return refuse(EPERM);
}

uid_t getuid(void) { return 1000; }

uid_t geteuid(void) { return 1000; }

gid_t getgid(void) { return 1000; }

gid_t getegid(void) { return 1000; }

int setuid(uid_t uid) { return uid == getuid() ? 0 : refuse(EPERM); }

int setgid(gid_t gid) { return gid == getgid() ? 0 : refuse(EPERM); }

char *getlogin(void) { return "user"; }

char *ttyname(int fd)
{
    (void)fd;
    errno = ENOTTY;
    return NULL;
}

struct passwd *getpwuid(uid_t uid)
{
    static struct passwd user = {.pw_name = "user", .pw_passwd = "", .pw_gecos = "",
                                 .pw_dir = "/", .pw_shell = "/bin/sh"};
    user.pw_uid = getuid();
    user.pw_gid = getgid();
    return uid == user.pw_uid ? &user : NULL;
}

struct passwd *getpwnam(const char *name)
{
    (void)name;
    return NULL;
}
