// What programs ask about the machine: times, limits, memory, processors, names.
#include <errno.h>
#include <malloc.h>
#include <netdb.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define PAGE 65536
#define MOST_PAGES 65536

static int refuse(int error)
{
    errno = error;
    return -1;
}

int getrusage(int who, struct rusage *usage)
{
    memset(usage, 0, sizeof *usage);
    if (who == RUSAGE_CHILDREN)
        return 0;
    if (who != RUSAGE_SELF)
        return refuse(EINVAL);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    usage->ru_utime.tv_sec = now.tv_sec;
    usage->ru_utime.tv_usec = (suseconds_t)(now.tv_nsec / 1000);
    usage->ru_maxrss = (long)(__builtin_wasm_memory_size(0) * (PAGE / 1024));
    return 0;
}

int getrlimit(int resource, struct rlimit *limit)
{
    (void)resource;
    limit->rlim_cur = limit->rlim_max = RLIM_INFINITY;
    if (resource == RLIMIT_NOFILE)
        limit->rlim_cur = limit->rlim_max = 1024;
    return 0;
}

// The limits are set when the function is linked and uploaded.
int setrlimit(int resource, const struct rlimit *limit)
{
    (void)resource, (void)limit;
    return refuse(EPERM);
}

int getpriority(int which, id_t who)
{
    (void)which, (void)who;
    return 0;
}

int setpriority(int which, id_t who, int priority)
{
    (void)which, (void)who;
    return priority >= 0 ? 0 : refuse(EACCES);
}

int nice(int by) { return by >= 0 ? 0 : refuse(EPERM); }

void sync(void) {}

int getloadavg(double *loads, int count)
{
    (void)loads, (void)count;
    return -1;
}

void *memalign(size_t alignment, size_t size)
{
    void *memory = NULL;
    if (alignment < sizeof(void *))
        alignment = sizeof(void *);
    int error = posix_memalign(&memory, alignment, size);
    if (error != 0)
        errno = error;
    return error == 0 ? memory : NULL;
}

void *valloc(size_t size) { return memalign(PAGE, size); }

void *pvalloc(size_t size)
{
    return size > SIZE_MAX - PAGE ? NULL : valloc((size + PAGE - 1) / PAGE * PAGE);
}

struct mallinfo mallinfo(void)
{
    struct mallinfo info = {0};
    info.arena = info.uordblks = (int)(__builtin_wasm_memory_size(0) * PAGE);
    return info;
}

int mallopt(int parameter, int value)
{
    (void)parameter, (void)value;
    return 1;
}

int malloc_trim(size_t keep)
{
    (void)keep;
    return 0;
}

// Some libcs have these beside mmap.
#define WEAK __attribute__((weak))

WEAK int mprotect(void *address, size_t length, int protection)
{
    (void)address, (void)length;
    return (protection & (PROT_READ | PROT_WRITE)) == (PROT_READ | PROT_WRITE) ? 0
                                                                             : refuse(ENOSYS);
}

WEAK int msync(void *address, size_t length, int flags)
{
    (void)address, (void)length, (void)flags;
    return 0;
}

// Advice may be ignored.
WEAK int madvise(void *address, size_t length, int advice)
{
    (void)address, (void)length, (void)advice;
    return 0;
}

WEAK int posix_madvise(void *address, size_t length, int advice)
{
    return madvise(address, length, advice);
}

int mlock(const void *address, size_t length)
{
    (void)address, (void)length;
    return refuse(EPERM);
}

int munlock(const void *address, size_t length)
{
    (void)address, (void)length;
    return 0;
}

int mlockall(int flags)
{
    (void)flags;
    return refuse(EPERM);
}

int munlockall(void) { return 0; }

int shm_open(const char *name, int flags, mode_t mode)
{
    (void)name, (void)flags, (void)mode;
    return refuse(ENOSYS);
}

int shm_unlink(const char *name)
{
    (void)name;
    return refuse(ENOENT);
}

int sched_getcpu(void) { return 0; }

int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    (void)pid;
    memset(set, 0, size);
    CPU_SET(0, set);
    return 0;
}

int sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *set)
{
    (void)pid, (void)size;
    return CPU_ISSET(0, set) ? 0 : refuse(EINVAL);
}

int getpagesize(void) { return PAGE; }

// The node's name, which the host has put there.
int gethostname(char *name, size_t size)
{
    const char *node = getenv("HOSTNAME");
    node = node != NULL ? node : "localhost";
    if (strlen(node) >= size)
        return refuse(ENAMETOOLONG);
    strcpy(name, node);
    return 0;
}

// What a configure script looks for, which includes no header.
WEAK int plain_gethostname(char *name, size_t size) __asm__("gethostname");
int plain_gethostname(char *name, size_t size) { return gethostname(name, size); }

// The libc's own is what the header's macro stands before.
#undef uname
int faasm_uname(struct utsname *name)
{
    int error = uname(name);
    if (error == 0)
        gethostname(name->nodename, sizeof name->nodename);
    return error;
}

long faasm_sysconf(int name)
{
    switch (name) {
    case _SC_PHYS_PAGES:
        return MOST_PAGES;
    case _SC_AVPHYS_PAGES:
        return MOST_PAGES - (long)__builtin_wasm_memory_size(0);
    default:
        return (sysconf)(name);
    }
}

int h_errno;

struct hostent *gethostbyname(const char *name)
{
    (void)name;
    h_errno = HOST_NOT_FOUND;
    return NULL;
}

struct hostent *gethostbyaddr(const void *address, socklen_t length, int type)
{
    (void)address, (void)length, (void)type;
    h_errno = HOST_NOT_FOUND;
    return NULL;
}

long timezone;
int daylight;
char *tzname[2] = {"UTC", "UTC"};

void tzset(void) {}

char *secure_getenv(const char *name) { return getenv(name); }
