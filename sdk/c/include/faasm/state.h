// Helpers over the state functions of core.h.
#ifndef FAASM_FAASM_STATE_H
#define FAASM_FAASM_STATE_H

#include "faasm/core.h"

#ifdef __cplusplus

#include <vector>

namespace faasm {

// Marks the bytes of the double at `idx` in a mask of the same layout.
inline void maskDouble(unsigned int* maskArray, unsigned long idx)
{
    const unsigned long words = sizeof(double) / sizeof(unsigned int);
    for (unsigned long i = 0; i < words; ++i) {
        maskArray[idx * words + i] = ~0u;
    }
}

// Writes and pushes a value of zeros.
inline void zeroState(const char* key, size_t stateLen)
{
    const std::vector<uint8_t> zeros(stateLen, 0);
    faasmWriteState(key, zeros.data(), static_cast<long>(stateLen));
    faasmPushState(key);
}

} // namespace faasm

#endif

#endif
