// faasm.h over the host's imports: state.
#include <faasm.h>

#include <string.h>

#include "imports.h"

// Imports give addresses as numbers that are not negative; below 0 are errors.
static uint8_t *pointer(int64_t address)
{
    return address < 0 ? faasm_failed((int)address) : (uint8_t *)(uintptr_t)address;
}

uint8_t *get_state(const char *key, uint64_t *len, int flags)
{
    return pointer(host_state_get(key, strlen(key), len, (uint32_t)flags));
}

uint8_t *get_state_offset(const char *key, uint64_t off, size_t len, int flags)
{
    return pointer(host_state_get_offset(key, strlen(key), off, len, (uint32_t)flags));
}

int release_state(const void *ptr)
{
    return host_state_release(ptr);
}

int set_state(const char *key, const void *val, size_t len)
{
    return host_state_set(key, strlen(key), val, len);
}

int set_state_offset(const char *key, const void *val, size_t len, uint64_t off)
{
    return host_state_set_offset(key, strlen(key), val, len, off);
}

int push_state(const char *key)
{
    return host_state_push(key, strlen(key));
}

int push_state_offset(const char *key, uint64_t off, uint64_t len)
{
    return host_state_push_offset(key, strlen(key), off, len);
}

int flag_state(const char *key, uint64_t off, uint64_t len)
{
    return host_state_flag(key, strlen(key), off, len);
}

int push_state_flagged(const char *key)
{
    return host_state_push_flagged(key, strlen(key));
}

int pull_state(const char *key)
{
    return host_state_pull(key, strlen(key));
}

int pull_state_offset(const char *key, uint64_t off, uint64_t len)
{
    return host_state_pull_offset(key, strlen(key), off, len);
}

int append_state(const char *key, const void *val, size_t len)
{
    return host_state_append(key, strlen(key), val, len);
}

int64_t read_appended_state(const char *key, size_t n, void *into, size_t len)
{
    return host_state_read_appended(key, strlen(key), n, into, len);
}

int clear_appended_state(const char *key)
{
    return host_state_clear_appended(key, strlen(key));
}

int create_state(const char *key, uint64_t size)
{
    return host_state_create(key, strlen(key), size);
}

int64_t state_size(const char *key)
{
    return host_state_size(key, strlen(key));
}

int delete_state(const char *key)
{
    return host_state_delete(key, strlen(key));
}
