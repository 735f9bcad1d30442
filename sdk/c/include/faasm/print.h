// Prints arrays.
#ifndef FAASM_FAASM_PRINT_H
#define FAASM_FAASM_PRINT_H

#ifdef __cplusplus

#include <cstddef>
#include <iostream>

namespace faasm {

// Prints the elements on one line of stdout.
template<typename T>
void printArray(T* data, size_t size)
{
    for (size_t i = 0; i < size; ++i) {
        std::cout << (i == 0 ? "" : " ") << data[i];
    }
    std::cout << std::endl;
}

} // namespace faasm

#endif

#endif
