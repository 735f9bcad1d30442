// faasm.h over the host's imports: input, output and calls.
#include <faasm.h>

#include <stdlib.h>
#include <string.h>

#include "imports.h"

static int last_error;

int faasm_errno(void)
{
    return last_error;
}

void *faasm_failed(int error)
{
    last_error = error;
    return NULL;
}

// Memory for `size` bytes of the host's and a NUL behind them, or NULL.
static uint8_t *make_room(int64_t size)
{
    if (size < 0)
        return faasm_failed((int)size);
    if ((uint64_t)size >= SIZE_MAX)
        return faasm_failed(FAASM_ETOOBIG);
    uint8_t *room = malloc((size_t)size + 1);
    return room ? room : faasm_failed(FAASM_ENOMEM);
}

// Ends what `make_room` began: `count` bytes were copied into it, or it is the error.
static uint8_t *filled(uint8_t *room, int32_t count, size_t *len)
{
    if (count < 0) {
        free(room);
        return faasm_failed(count);
    }
    room[(uint32_t)count] = '\0';
    if (len)
        *len = (uint32_t)count;
    return room;
}

uint8_t *read_call_input(size_t *len)
{
    const int32_t size = host_input_size();
    uint8_t *input = make_room(size);
    return input ? filled(input, host_input_read(input, (size_t)size), len) : NULL;
}

int write_call_output(const void *data, size_t len)
{
    return host_output_write(data, len);
}

int chain_call(const char *name, const void *args, size_t len)
{
    return host_chain_name(name, strlen(name), args, len);
}

int chain_mpi(const char *name, int ranks, const void *args, size_t len)
{
    return host_chain_mpi(name, strlen(name), ranks, args, len);
}

int chain_call_ptr(int (*f)(void), const void *args, size_t len)
{
    return host_chain_ptr(f, args, len);
}

int await_call(int call_id)
{
    return host_await(call_id, -1);
}

int await_call_timeout(int call_id, int64_t ms)
{
    return host_await(call_id, ms);
}

int await_any(const int *call_ids, size_t n, int64_t ms)
{
    return host_await_any(call_ids, n, ms);
}

uint8_t *get_call_output(int call_id, size_t *len)
{
    const int64_t size = host_output_size(call_id);
    uint8_t *output = make_room(size);
    return output ? filled(output, host_output_read(call_id, output, (size_t)size), len) : NULL;
}

int cancel_call(int call_id)
{
    return host_cancel(call_id);
}

char *call_error(int call_id)
{
    const int32_t size = host_error_size(call_id);
    uint8_t *text = make_room(size);
    return text ? (char *)filled(text, host_error_read(call_id, text, (size_t)size), NULL) : NULL;
}
