// The one thread of a program, for libcs without any. One that has these functions too does not let
// a recursive mutex be locked again, nor says EAGAIN: these are taken instead.
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#undef pthread_equal

#define KEYS 128
#define LOCKED(mutex) (mutex)->__u.__i[0]
#define RECURSIVE(mutex) (mutex)->__u.__i[1]

static struct {
    int used;
    const void *value;
} keys[KEYS];

int pthread_create(pthread_t *__restrict thread, const pthread_attr_t *__restrict attributes,
                   void *(*run)(void *), void *__restrict argument)
{
    (void)thread, (void)attributes, (void)run, (void)argument;
    return EAGAIN;
}

int pthread_join(pthread_t thread, void **result)
{
    (void)thread, (void)result;
    return ESRCH;
}

int pthread_detach(pthread_t thread)
{
    (void)thread;
    return ESRCH;
}

pthread_t pthread_self(void)
{
    static char self;
    return (pthread_t)&self;
}

int pthread_equal(pthread_t one, pthread_t other) { return one == other; }

void pthread_exit(void *result)
{
    (void)result;
    exit(0);
}

#define DOES_NOTHING(name, ...)                                                                   \
    int name(__VA_ARGS__) { return 0; }

#pragma clang diagnostic ignored "-Wunused-parameter"
DOES_NOTHING(pthread_attr_init, pthread_attr_t *attributes)
DOES_NOTHING(pthread_attr_destroy, pthread_attr_t *attributes)
DOES_NOTHING(pthread_attr_setdetachstate, pthread_attr_t *attributes, int state)
DOES_NOTHING(pthread_attr_setscope, pthread_attr_t *attributes, int scope)
DOES_NOTHING(pthread_attr_setstacksize, pthread_attr_t *attributes, size_t size)
DOES_NOTHING(pthread_mutex_destroy, pthread_mutex_t *mutex)
DOES_NOTHING(pthread_mutexattr_destroy, pthread_mutexattr_t *attributes)
DOES_NOTHING(pthread_cond_init, pthread_cond_t *__restrict condition,
             const pthread_condattr_t *__restrict attributes)
DOES_NOTHING(pthread_cond_destroy, pthread_cond_t *condition)
DOES_NOTHING(pthread_cond_signal, pthread_cond_t *condition)
DOES_NOTHING(pthread_cond_broadcast, pthread_cond_t *condition)
DOES_NOTHING(pthread_rwlock_init, pthread_rwlock_t *__restrict lock,
             const pthread_rwlockattr_t *__restrict attributes)
DOES_NOTHING(pthread_rwlock_destroy, pthread_rwlock_t *lock)
DOES_NOTHING(pthread_rwlock_rdlock, pthread_rwlock_t *lock)
DOES_NOTHING(pthread_rwlock_wrlock, pthread_rwlock_t *lock)
DOES_NOTHING(pthread_rwlock_unlock, pthread_rwlock_t *lock)
DOES_NOTHING(pthread_spin_init, pthread_spinlock_t *lock, int shared)
DOES_NOTHING(pthread_spin_destroy, pthread_spinlock_t *lock)
DOES_NOTHING(pthread_spin_lock, pthread_spinlock_t *lock)
DOES_NOTHING(pthread_spin_unlock, pthread_spinlock_t *lock)

int pthread_mutexattr_init(pthread_mutexattr_t *attributes)
{
    attributes->__attr = 0;
    return 0;
}

int pthread_mutexattr_settype(pthread_mutexattr_t *attributes, int type)
{
    attributes->__attr = (unsigned)type;
    return 0;
}

int pthread_mutex_init(pthread_mutex_t *__restrict mutex,
                       const pthread_mutexattr_t *__restrict attributes)
{
    LOCKED(mutex) = 0;
    RECURSIVE(mutex) = attributes != NULL && attributes->__attr == PTHREAD_MUTEX_RECURSIVE;
    return 0;
}

// Nobody else could ever unlock it.
int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    if (LOCKED(mutex) > 0 && !RECURSIVE(mutex))
        return EDEADLK;
    LOCKED(mutex) += 1;
    return 0;
}

int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    return pthread_mutex_lock(mutex) == 0 ? 0 : EBUSY;
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    if (LOCKED(mutex) == 0)
        return EPERM;
    LOCKED(mutex) -= 1;
    return 0;
}

// Nobody else could ever signal.
int pthread_cond_wait(pthread_cond_t *__restrict condition, pthread_mutex_t *__restrict mutex)
{
    (void)condition, (void)mutex;
    return EDEADLK;
}

int pthread_cond_timedwait(pthread_cond_t *__restrict condition,
                           pthread_mutex_t *__restrict mutex,
                           const struct timespec *__restrict until)
{
    (void)condition, (void)mutex;
    clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, until, NULL);
    return ETIMEDOUT;
}

int pthread_once(pthread_once_t *once, void (*run)(void))
{
    if (*once == 0) {
        *once = 1;
        run();
    }
    return 0;
}

int pthread_key_create(pthread_key_t *key, void (*destroy)(void *))
{
    (void)destroy;
    for (pthread_key_t at = 0; at < KEYS; at++) {
        if (!keys[at].used) {
            keys[at].used = 1;
            keys[at].value = NULL;
            *key = at;
            return 0;
        }
    }
    return EAGAIN;
}

int pthread_key_delete(pthread_key_t key)
{
    if (key >= KEYS || !keys[key].used)
        return EINVAL;
    keys[key].used = 0;
    return 0;
}

void *pthread_getspecific(pthread_key_t key)
{
    return key < KEYS && keys[key].used ? (void *)keys[key].value : NULL;
}

int pthread_setspecific(pthread_key_t key, const void *value)
{
    if (key >= KEYS || !keys[key].used)
        return EINVAL;
    keys[key].value = value;
    return 0;
}
