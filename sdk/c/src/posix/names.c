// Files that a program names itself, and their permissions, which nobody else could have.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// Puts something new in place of the last six characters, which are X.
static int fill(char *name)
{
    static unsigned count;
    size_t length = strlen(name);
    if (length < 6 || strcmp(name + length - 6, "XXXXXX") != 0) {
        errno = EINVAL;
        return -1;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    unsigned value = (unsigned)now.tv_nsec / 1000 + 7919 * count++;
    for (size_t at = length - 6; at < length; at++, value /= 26)
        name[at] = (char)('a' + value % 26);
    return 0;
}

int mkstemp(char *name)
{
    return fill(name) != 0 ? -1 : open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
}

char *mkdtemp(char *name) { return fill(name) != 0 || mkdir(name, 0700) != 0 ? NULL : name; }

char *mktemp(char *name)
{
    if (fill(name) != 0)
        name[0] = '\0';
    return name;
}

FILE *tmpfile(void)
{
    char name[] = "/tmp/fileXXXXXX";
    int fd = mkstemp(name);
    if (fd < 0)
        return NULL;
    unlink(name);
    return fdopen(fd, "w+");
}

char *tmpnam(char *name)
{
    static char own[L_tmpnam];
    char *into = name != NULL ? name : own;
    strcpy(into, "/tmp/nameXXXXXX");
    return mktemp(into);
}

char *realpath(const char *__restrict path, char *__restrict resolved)
{
    if (path == NULL || access(path, F_OK) != 0)
        return NULL;
    char *into = resolved != NULL ? resolved : malloc(strlen(path) + 2);
    if (into == NULL)
        return NULL;
    into[0] = '/';
    into[1] = '\0';
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    strcpy(into + (path[0] == '/' ? 0 : 1), path);
    return into;
}

mode_t umask(mode_t mask)
{
    static mode_t kept = 022;
    mode_t before = kept;
    kept = mask;
    return before;
}

int chmod(const char *path, mode_t mode)
{
    (void)mode;
    return access(path, F_OK);
}

int fchmod(int fd, mode_t mode)
{
    struct stat about;
    (void)mode;
    return fstat(fd, &about);
}

int chown(const char *path, uid_t owner, gid_t group)
{
    (void)owner, (void)group;
    return access(path, F_OK);
}

int mkfifo(const char *path, mode_t mode)
{
    (void)path, (void)mode;
    errno = ENOSYS;
    return -1;
}
