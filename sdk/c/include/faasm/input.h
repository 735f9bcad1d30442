// Input and output as text and numbers.
#ifndef FAASM_FAASM_INPUT_H
#define FAASM_FAASM_INPUT_H

#include "faasm/core.h"

#ifdef __cplusplus

#include <cstdlib>
#include <cstring>

namespace faasm {

// The input as a string, or `defaultValue` when there is none. Never freed.
inline const char* getStringInput(const char* defaultValue)
{
    const long size = faasmGetInputSize();
    if (size <= 0) {
        return defaultValue;
    }
    char* input = new char[size + 1];
    faasmGetInput(reinterpret_cast<uint8_t*>(input), size);
    input[size] = '\0';
    return input;
}

// Makes the string, without its NUL, the output.
inline void setStringOutput(const char* val)
{
    faasmSetOutput(val, static_cast<long>(std::strlen(val)));
}

// The input read as a decimal number; 0 when there is none.
inline int getIntInput()
{
    return static_cast<int>(std::strtol(getStringInput("0"), nullptr, 10));
}

// Numbers with spaces between them; nullptr unless there are as many as expected. To be deleted
// with delete[].
inline int* parseStringToIntArray(const char* inStr, int expected)
{
    if (expected < 0) {
        return nullptr;
    }
    int* numbers = new int[static_cast<size_t>(expected)];
    int found = 0;
    for (const char* at = inStr;;) {
        char* end = nullptr;
        const long number = std::strtol(at, &end, 10);
        if (end == at) {
            break;
        }
        if (found < expected) {
            numbers[found] = static_cast<int>(number);
        }
        ++found;
        at = end;
    }
    if (found != expected) {
        delete[] numbers;
        return nullptr;
    }
    return numbers;
}

} // namespace faasm

#endif

#endif
