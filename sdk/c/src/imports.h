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

#endif
