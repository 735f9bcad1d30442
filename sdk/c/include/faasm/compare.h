// Compares arrays.
#ifndef FAASM_FAASM_COMPARE_H
#define FAASM_FAASM_COMPARE_H

#ifdef __cplusplus

#include <algorithm>

#include "faasm/print.h"

namespace faasm {

// Whether two arrays have the same elements; prints both when they do not.
template<typename T>
bool compareArrays(T* a, T* b, int len)
{
    if (std::equal(a, a + len, b)) {
        return true;
    }
    std::cout << "The arrays differ:" << std::endl;
    printArray(a, static_cast<size_t>(len));
    printArray(b, static_cast<size_t>(len));
    return false;
}

} // namespace faasm

#endif

#endif
