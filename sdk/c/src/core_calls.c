// faasm/core.h: input, output and calls.
#include <faasm/core.h>
#include <faasm/host_interface.h>

#include <string.h>

long faasmGetInputSize(void)
{
    return __faasm_read_input(NULL, 0);
}

void faasmGetInput(uint8_t* buffer, long bufferLen)
{
    __faasm_read_input(buffer, bufferLen);
}

void faasmSetOutput(const char* newOutput, long outputLen)
{
    __faasm_write_output(newOutput, outputLen);
}

unsigned int faasmChainNamed(const char* name, const uint8_t* inputData, long inputDataSize)
{
    return __faasm_chain_name(name, inputData, inputDataSize);
}

unsigned int faasmChain(FaasmFuncPtr funcPtr, const uint8_t* inputData, long inputDataSize)
{
    return __faasm_chain_ptr(funcPtr, inputData, inputDataSize);
}

unsigned int faasmChainBatch(FaasmFuncPtr funcPtr, const char* inputData, int nFuncs)
{
    const long size = inputData ? (long)strlen(inputData) : 0;
    unsigned int first = 0;
    for (int i = 0; i < nFuncs; ++i) {
        const unsigned int call = faasmChain(funcPtr, (const uint8_t*)inputData, size);
        if ((int)call < 0)
            return call;
        if (i == 0)
            first = call;
    }
    return first;
}

unsigned int faasmAwaitCall(unsigned int callId)
{
    return (unsigned int)__faasm_await_call(callId);
}

unsigned int faasmAwaitCallOutput(unsigned int messageId, char** output, int* outputLen)
{
    return (unsigned int)__faasm_await_call_output(messageId, output, outputLen);
}
