// What the host offers in module `faasm`. Programs use faasm.h; these are its raw form: pointers
// into this memory with their lengths, and negative FAASM_E* for errors.
#ifndef FAASM_SRC_IMPORTS_H
#define FAASM_SRC_IMPORTS_H

#include <stddef.h>
#include <stdint.h>

#define FAASM_IMPORT(name) __attribute__((import_module("faasm"), import_name(name)))

FAASM_IMPORT("input_size") int32_t host_input_size(void);
FAASM_IMPORT("input_read") int32_t host_input_read(void *into, size_t len);
FAASM_IMPORT("output_write") int32_t host_output_write(const void *data, size_t len);
FAASM_IMPORT("chain_name")
int32_t host_chain_name(const char *name, size_t name_len, const void *input, size_t len);
FAASM_IMPORT("chain_mpi")
int32_t host_chain_mpi(const char *name, size_t name_len, int ranks, const void *input, size_t len);
FAASM_IMPORT("chain_ptr")
int32_t host_chain_ptr(int (*function)(void), const void *input, size_t len);
FAASM_IMPORT("await") int32_t host_await(int32_t call, int64_t timeout_ms);
FAASM_IMPORT("await_any")
int32_t host_await_any(const int *calls, size_t count, int64_t timeout_ms);
FAASM_IMPORT("output_size") int64_t host_output_size(int32_t call);
FAASM_IMPORT("output_read") int32_t host_output_read(int32_t call, void *into, size_t len);
FAASM_IMPORT("cancel") int32_t host_cancel(int32_t call);
FAASM_IMPORT("error_size") int32_t host_error_size(int32_t call);
FAASM_IMPORT("error_read") int32_t host_error_read(int32_t call, void *into, size_t len);

FAASM_IMPORT("state_get")
int64_t host_state_get(const char *key, size_t key_len, uint64_t *size, uint32_t flags);
FAASM_IMPORT("state_get_offset")
int64_t host_state_get_offset(const char *key, size_t key_len, uint64_t off, size_t len,
                              uint32_t flags);
FAASM_IMPORT("state_release") int32_t host_state_release(const void *pointer);
FAASM_IMPORT("state_set")
int32_t host_state_set(const char *key, size_t key_len, const void *value, size_t len);
FAASM_IMPORT("state_set_offset")
int32_t host_state_set_offset(const char *key, size_t key_len, const void *value, size_t len,
                              uint64_t off);
FAASM_IMPORT("state_flag")
int32_t host_state_flag(const char *key, size_t key_len, uint64_t off, uint64_t len);
FAASM_IMPORT("state_push") int32_t host_state_push(const char *key, size_t key_len);
FAASM_IMPORT("state_push_offset")
int32_t host_state_push_offset(const char *key, size_t key_len, uint64_t off, uint64_t len);
FAASM_IMPORT("state_push_flagged")
int32_t host_state_push_flagged(const char *key, size_t key_len);
FAASM_IMPORT("state_pull") int32_t host_state_pull(const char *key, size_t key_len);
FAASM_IMPORT("state_pull_offset")
int32_t host_state_pull_offset(const char *key, size_t key_len, uint64_t off, uint64_t len);
FAASM_IMPORT("state_append")
int32_t host_state_append(const char *key, size_t key_len, const void *value, size_t len);
FAASM_IMPORT("state_read_appended")
int64_t host_state_read_appended(const char *key, size_t key_len, uint64_t elements, void *into,
                                 size_t len);
FAASM_IMPORT("state_clear_appended")
int32_t host_state_clear_appended(const char *key, size_t key_len);
FAASM_IMPORT("state_create")
int32_t host_state_create(const char *key, size_t key_len, uint64_t size);
FAASM_IMPORT("state_size") int64_t host_state_size(const char *key, size_t key_len);
FAASM_IMPORT("state_delete") int32_t host_state_delete(const char *key, size_t key_len);

// What to lock: bits.
#define HOST_LOCK_WRITE 1
#define HOST_LOCK_CLUSTER 2
FAASM_IMPORT("state_lock")
int32_t host_state_lock(const char *key, size_t key_len, uint32_t what, int64_t timeout_ms);
FAASM_IMPORT("state_unlock")
int32_t host_state_unlock(const char *key, size_t key_len, uint32_t what);

// Sets faasm_errno; gives NULL.
void *faasm_failed(int error);

#endif
