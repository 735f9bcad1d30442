// What fewer programs use of threads, and semaphores, for libcs without any.
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#define DOES_NOTHING(name, ...)                                                                   \
    int name(__VA_ARGS__) { return 0; }

#pragma clang diagnostic ignored "-Wunused-parameter"
DOES_NOTHING(pthread_attr_setguardsize, pthread_attr_t *attributes, size_t size)
DOES_NOTHING(pthread_attr_setinheritsched, pthread_attr_t *attributes, int how)
DOES_NOTHING(pthread_mutexattr_setpshared, pthread_mutexattr_t *attributes, int shared)
DOES_NOTHING(pthread_condattr_init, pthread_condattr_t *attributes)
DOES_NOTHING(pthread_condattr_destroy, pthread_condattr_t *attributes)
DOES_NOTHING(pthread_condattr_setclock, pthread_condattr_t *attributes, clockid_t clock)
DOES_NOTHING(pthread_condattr_setpshared, pthread_condattr_t *attributes, int shared)
DOES_NOTHING(pthread_rwlock_tryrdlock, pthread_rwlock_t *lock)
DOES_NOTHING(pthread_rwlock_trywrlock, pthread_rwlock_t *lock)
DOES_NOTHING(pthread_rwlockattr_init, pthread_rwlockattr_t *attributes)
DOES_NOTHING(pthread_rwlockattr_destroy, pthread_rwlockattr_t *attributes)
DOES_NOTHING(pthread_barrier_destroy, pthread_barrier_t *barrier)
DOES_NOTHING(pthread_spin_trylock, pthread_spinlock_t *lock)
DOES_NOTHING(pthread_atfork, void (*prepare)(void), void (*parent)(void), void (*child)(void))
DOES_NOTHING(pthread_setname_np, pthread_t thread, const char *name)
DOES_NOTHING(pthread_setconcurrency, int level)

int pthread_attr_getstacksize(const pthread_attr_t *__restrict attributes,
                              size_t *__restrict size)
{
    *size = 8 << 20;
    return 0;
}

int pthread_attr_getdetachstate(const pthread_attr_t *attributes, int *state)
{
    *state = PTHREAD_CREATE_JOINABLE;
    return 0;
}

int pthread_mutexattr_gettype(const pthread_mutexattr_t *__restrict attributes,
                              int *__restrict type)
{
    *type = (int)attributes->__attr;
    return 0;
}

// Nobody else could unlock it by then.
int pthread_mutex_timedlock(pthread_mutex_t *__restrict mutex,
                            const struct timespec *__restrict until)
{
    if (pthread_mutex_lock(mutex) == 0)
        return 0;
    clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, until, NULL);
    return ETIMEDOUT;
}

// Only a barrier for one can ever be passed.
int pthread_barrier_init(pthread_barrier_t *__restrict barrier,
                         const pthread_barrierattr_t *__restrict attributes, unsigned count)
{
    return count == 0 ? EINVAL : count > 1 ? EAGAIN : 0;
}

int pthread_barrier_wait(pthread_barrier_t *barrier) { return PTHREAD_BARRIER_SERIAL_THREAD; }

int pthread_cancel(pthread_t thread) { return ESRCH; }

static int cancel_state, cancel_type;

int pthread_setcancelstate(int state, int *old)
{
    if (old != NULL)
        *old = cancel_state;
    cancel_state = state;
    return 0;
}

int pthread_setcanceltype(int type, int *old)
{
    if (old != NULL)
        *old = cancel_type;
    cancel_type = type;
    return 0;
}

void pthread_testcancel(void) {}

int pthread_getcpuclockid(pthread_t thread, clockid_t *clock) { return ENOENT; }

int pthread_getname_np(pthread_t thread, char *name, size_t size)
{
    if (size < 5)
        return ERANGE;
    strcpy(name, "main");
    return 0;
}

int pthread_setaffinity_np(pthread_t thread, size_t size, const cpu_set_t *set)
{
    return sched_setaffinity(0, size, set) == 0 ? 0 : errno;
}

int pthread_getaffinity_np(pthread_t thread, size_t size, cpu_set_t *set)
{
    return sched_getaffinity(0, size, set) == 0 ? 0 : errno;
}

int pthread_getconcurrency(void) { return 0; }

#define VALUE(semaphore) (semaphore)->__val[0]

static int refuse(int error)
{
    errno = error;
    return -1;
}

int sem_init(sem_t *semaphore, int shared, unsigned value)
{
    if (value > INT_MAX)
        return refuse(EINVAL);
    VALUE(semaphore) = (int)value;
    return 0;
}

DOES_NOTHING(sem_destroy, sem_t *semaphore)

int sem_post(sem_t *semaphore)
{
    if (VALUE(semaphore) == INT_MAX)
        return refuse(EOVERFLOW);
    VALUE(semaphore) += 1;
    return 0;
}

int sem_trywait(sem_t *semaphore)
{
    if (VALUE(semaphore) == 0)
        return refuse(EAGAIN);
    VALUE(semaphore) -= 1;
    return 0;
}

// Nobody else could ever post.
int sem_wait(sem_t *semaphore)
{
    return sem_trywait(semaphore) == 0 ? 0 : refuse(EDEADLK);
}

int sem_timedwait(sem_t *__restrict semaphore, const struct timespec *__restrict until)
{
    if (sem_trywait(semaphore) == 0)
        return 0;
    clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, until, NULL);
    return refuse(ETIMEDOUT);
}

int sem_getvalue(sem_t *__restrict semaphore, int *__restrict value)
{
    *value = VALUE(semaphore);
    return 0;
}

sem_t *sem_open(const char *name, int flags, ...)
{
    errno = ENOSYS;
    return SEM_FAILED;
}

int sem_close(sem_t *semaphore) { return refuse(EINVAL); }

int sem_unlink(const char *name) { return refuse(ENOENT); }
