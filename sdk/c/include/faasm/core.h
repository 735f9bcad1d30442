// The functions that existing Faasm programs call, each over the import of its name in
// host_interface.h. Lengths are bytes.
#ifndef FAASM_FAASM_CORE_H
#define FAASM_FAASM_CORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define FAASM_ZYGOTE() extern "C" int _faasm_zygote()
#else
// Begins the function that an instance runs once before main or the chained function.
#define FAASM_ZYGOTE() int _faasm_zygote(void)
#endif

typedef int (*FaasmFuncPtr)();

// --- Input and output -------------------------------------------------------------------------

long faasmGetInputSize(void);
// Copies at most `bufferLen` bytes of the input.
void faasmGetInput(uint8_t* buffer, long bufferLen);
// The last of several outputs counts.
void faasmSetOutput(const char* newOutput, long outputLen);

// --- Calls ------------------------------------------------------------------------------------

// Each returns the id of the call, or a negative FAASM_E* of <faasm.h> as an unsigned number.
unsigned int faasmChainNamed(const char* name, const uint8_t* inputData, long inputDataSize);
unsigned int faasmChain(FaasmFuncPtr funcPtr, const uint8_t* inputData, long inputDataSize);
// Chains `nFuncs` calls of a function, each with the string `inputData` as its input. Returns the
// id of the first, or the error of the first that failed; the others have the ids that follow.
unsigned int faasmChainBatch(FaasmFuncPtr funcPtr, const char* inputData, int nFuncs);
// Waits for the end of a call and returns its result, 0 when all went well.
unsigned int faasmAwaitCall(unsigned int callId);
// The same, and gives the output, which is malloc'ed.
unsigned int faasmAwaitCallOutput(unsigned int messageId, char** output, int* outputLen);

// --- State ------------------------------------------------------------------------------------

// As in <faasm.h>, which says what copies, pushes and pulls promise. A value that is missing begins
// with the total length that the caller names; its first push makes it. Whatever goes wrong ends
// the call with an error that names it, since these have no room for it.

// 0 when there is no such value.
size_t faasmReadStateSize(const char* key);
// Copies at most `bufferLen` bytes; returns how many, or the size when `bufferLen` is 0.
long faasmReadState(const char* key, unsigned char* buffer, long bufferLen);
// The first `nElems` elements, one behind the other.
void faasmReadAppendedState(const char* key, uint8_t* buffer, long bufferLen, long nElems);
// Pointers into the copy that all instances on the node share.
uint8_t* faasmReadStatePtr(const char* key, long totalLen);
void faasmReadStateOffset(const char* key, long totalLen, long offset, uint8_t* buffer,
                          long bufferLen);
uint8_t* faasmReadStateOffsetPtr(const char* key, long fullLen, long offset, long len);
void faasmWriteState(const char* key, const uint8_t* data, long dataLen);
void faasmAppendState(const char* key, const uint8_t* data, long dataLen);
void faasmClearAppendedState(const char* key);
void faasmWriteStateOffset(const char* key, long totalLen, long offset, const uint8_t* data,
                           long dataLen);
// Returns how many bytes the file has.
unsigned long faasmWriteStateFromFile(const char* key, const char* filePath);
// Flags bytes for faasmPushStatePartial, which sends just those that were flagged, here or by
// faasmWriteStateOffset.
void faasmFlagStateDirty(const char* key, long totalLen);
void faasmFlagStateOffsetDirty(const char* key, long totalLen, long offset, long len);
void faasmPushState(const char* key);
void faasmPushStatePartial(const char* key);
// Sends just the bytes that are not zero in the value `maskKey`.
void faasmPushStatePartialMask(const char* key, const char* maskKey);
void faasmPullState(const char* key, long stateLen);
// Locks among the instances of this node.
void faasmLockStateRead(const char* key);
void faasmUnlockStateRead(const char* key);
void faasmLockStateWrite(const char* key);
void faasmUnlockStateWrite(const char* key);

// --- Python, configuration, debugging ---------------------------------------------------------

// Each is malloc'ed.
char* faasmGetPythonUser(void);
char* faasmGetPythonFunc(void);
char* faasmGetPythonEntry(void);
unsigned int getConfFlag(const char* key);
// Writes the guest's stack to the log.
void faasmBacktrace(const int depth);

#ifdef __cplusplus
}
#endif

#endif
