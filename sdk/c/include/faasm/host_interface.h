// The imports of Faasm's host interface, in wasm module `env`, as existing functions know them.
// The calls are a second door to what <faasm.h> offers. Those for shared memory of threads, Python,
// migration and S3 are declared so that programs compile; the host ends a call that uses
// one it does not offer, with an error that names it.
#ifndef FAASM_FAASM_HOST_INTERFACE_H
#define FAASM_FAASM_HOST_INTERFACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define FAASM_DEFAULT(value) = value
extern "C" {
#else
#define FAASM_DEFAULT(value)
#endif

#define FAASM_ENV(name) __attribute__((import_module("env"), import_name(#name))) name

typedef int (*FaasmMigrateEntryPoint)(int);

// Input, output and calls. Reading into no room gives the size.
long FAASM_ENV(__faasm_read_input)(unsigned char* buffer, long bufferLen);
void FAASM_ENV(__faasm_write_output)(const char* output, long outputLen);
unsigned int FAASM_ENV(__faasm_chain_name)(const char* name, const unsigned char* inputData,
                                           long inputDataSize);
unsigned int FAASM_ENV(__faasm_chain_ptr)(int (*funcPtr)(), const unsigned char* inputData,
                                          long inputDataSize);
int FAASM_ENV(__faasm_await_call)(unsigned int messageId);
int FAASM_ENV(__faasm_await_call_output)(unsigned int messageId, char** output, int* outputLen);

// State.
long FAASM_ENV(__faasm_read_state)(const char* key, unsigned char* buffer, long bufferLen);
unsigned char* FAASM_ENV(__faasm_read_state_ptr)(const char* key, long totalLen);
void FAASM_ENV(__faasm_write_state)(const char* key, const unsigned char* data, long dataLen);
void FAASM_ENV(__faasm_append_state)(const char* key, const unsigned char* data, long dataLen);
void FAASM_ENV(__faasm_read_appended_state)(const char* key, unsigned char* data, long dataLen,
                                            long nElems);
void FAASM_ENV(__faasm_clear_appended_state)(const char* key);
void FAASM_ENV(__faasm_write_state_offset)(const char* key, long totalLen, long offset,
                                           const unsigned char* data, long dataLen);
unsigned int FAASM_ENV(__faasm_write_state_from_file)(const char* key, const char* filePath);
void FAASM_ENV(__faasm_read_state_offset)(const char* key, long totalLen, long offset,
                                          unsigned char* buffer, long bufferLen);
void FAASM_ENV(__faasm_flag_state_dirty)(const char* key, long totalLen);
void FAASM_ENV(__faasm_flag_state_offset_dirty)(const char* key, long totalLen, long offset,
                                                long dataLen);
unsigned char* FAASM_ENV(__faasm_read_state_offset_ptr)(const char* key, long totalLen,
                                                        long offset, long len);
void FAASM_ENV(__faasm_push_state)(const char* key);
void FAASM_ENV(__faasm_push_state_partial)(const char* key);
void FAASM_ENV(__faasm_push_state_partial_mask)(const char* key, const char* maskKey);
void FAASM_ENV(__faasm_pull_state)(const char* key, long stateLen);
void FAASM_ENV(__faasm_lock_state_read)(const char* key);
void FAASM_ENV(__faasm_unlock_state_read)(const char* key);
void FAASM_ENV(__faasm_lock_state_write)(const char* key);
void FAASM_ENV(__faasm_unlock_state_write)(const char* key);

// Python.
void FAASM_ENV(__faasm_get_py_user)(unsigned char* buffer, long bufferLen);
void FAASM_ENV(__faasm_get_py_func)(unsigned char* buffer, long bufferLen);
void FAASM_ENV(__faasm_get_py_entry)(unsigned char* buffer, long bufferLen);
unsigned int FAASM_ENV(__faasm_chain_py)(const char* name, const unsigned char* inputData,
                                         long inputDataSize);

// Configuration and debugging.
unsigned int FAASM_ENV(__faasm_conf_flag)(const char* key);
void FAASM_ENV(__faasm_backtrace)(const int depth);
void FAASM_ENV(__faasm_host_interface_test)(int testNum);

// Memory that threads share.
void FAASM_ENV(__faasm_sm_array)(void* var, int varType, int arrayLen);
void FAASM_ENV(__faasm_sm_raw)(void* var, int varSize);
void FAASM_ENV(__faasm_sm_reduce)(void* var, int varType, int reduceOp, int currentBatch);
void FAASM_ENV(__faasm_sm_var)(void* var, int varType);
void FAASM_ENV(__faasm_sm_critical_local)(void);
void FAASM_ENV(__faasm_sm_critical_local_end)(void);

// Migration.
void FAASM_ENV(__faasm_migrate_point)(FaasmMigrateEntryPoint f, int arg);

// S3.
int FAASM_ENV(__faasm_s3_get_num_buckets)(void);
void FAASM_ENV(__faasm_s3_list_buckets)(void* bucketsBuffer, int* bucketsBufferLens);
int FAASM_ENV(__faasm_s3_get_num_keys)(const char* bucketName);
int FAASM_ENV(__faasm_s3_get_num_keys_with_prefix)(const char* bucketName, const char* prefix);
void FAASM_ENV(__faasm_s3_list_keys)(const char* bucketName, void* keysBuffer,
                                     int* keysBufferLens);
void FAASM_ENV(__faasm_s3_list_keys_with_prefix)(const char* bucketName, const char* prefix,
                                                 void* keysBuffer, int* keysBufferLens);
int FAASM_ENV(__faasm_s3_add_key_bytes)(const char* bucketName, const char* keyName,
                                        void* keyBuffer, int keyBufferLen,
                                        bool overwrite FAASM_DEFAULT(false));
int FAASM_ENV(__faasm_s3_get_key_bytes)(const char* bucketName, const char* keyName,
                                        void* keyBuffer, int* keyBufferLen,
                                        bool tolerateMissing FAASM_DEFAULT(false));

#undef FAASM_ENV
#undef FAASM_DEFAULT

#ifdef __cplusplus
}
#endif

#endif
