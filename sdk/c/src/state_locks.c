// faasm.h over the host's imports: locks.
#include <faasm.h>

#include <string.h>

#include "imports.h"

static int lock(const char *key, uint32_t what, int64_t ms)
{
    return host_state_lock(key, strlen(key), what, ms);
}

static int unlock(const char *key, uint32_t what)
{
    return host_state_unlock(key, strlen(key), what);
}

int lock_state_read(const char *key)
{
    return lock(key, 0, -1);
}

int lock_state_write(const char *key)
{
    return lock(key, HOST_LOCK_WRITE, -1);
}

int lock_state_read_timeout(const char *key, int64_t ms)
{
    return lock(key, 0, ms);
}

int lock_state_write_timeout(const char *key, int64_t ms)
{
    return lock(key, HOST_LOCK_WRITE, ms);
}

int unlock_state_read(const char *key)
{
    return unlock(key, 0);
}

int unlock_state_write(const char *key)
{
    return unlock(key, HOST_LOCK_WRITE);
}

int lock_state_global_read(const char *key)
{
    return lock(key, HOST_LOCK_CLUSTER, -1);
}

int lock_state_global_write(const char *key)
{
    return lock(key, HOST_LOCK_CLUSTER | HOST_LOCK_WRITE, -1);
}

int lock_state_global_read_timeout(const char *key, int64_t ms)
{
    return lock(key, HOST_LOCK_CLUSTER, ms);
}

int lock_state_global_write_timeout(const char *key, int64_t ms)
{
    return lock(key, HOST_LOCK_CLUSTER | HOST_LOCK_WRITE, ms);
}

int unlock_state_global_read(const char *key)
{
    return unlock(key, HOST_LOCK_CLUSTER);
}

int unlock_state_global_write(const char *key)
{
    return unlock(key, HOST_LOCK_CLUSTER | HOST_LOCK_WRITE);
}
