// Random numbers, other ones in every instance.
#ifndef FAASM_FAASM_RANDOM_H
#define FAASM_FAASM_RANDOM_H

#ifdef __cplusplus

#include <algorithm>
#include <numeric>
#include <random>
#include <string>

namespace faasm {

inline std::mt19937& randomEngine()
{
    static std::mt19937 engine{ std::random_device{}() };
    return engine;
}

// From iStart to iEnd, both included.
inline int randomInteger(int iStart, int iEnd)
{
    return std::uniform_int_distribution<int>(iStart, iEnd)(randomEngine());
}

// From 0 up to but not including 1.
inline float randomFloat()
{
    return std::uniform_real_distribution<float>(0.0f, 1.0f)(randomEngine());
}

inline void shuffleArray(int* arrayIn, size_t arrayLen)
{
    std::shuffle(arrayIn, arrayIn + arrayLen, randomEngine());
}

// The numbers 0 to rangeLen - 1 in random order, to be deleted with delete[].
inline int* randomIntRange(int rangeLen)
{
    int* range = new int[static_cast<size_t>(rangeLen)];
    std::iota(range, range + rangeLen, 0);
    shuffleArray(range, static_cast<size_t>(rangeLen));
    return range;
}

// Letters and digits.
inline std::string randomString(int len)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    std::string text(static_cast<size_t>(len), ' ');
    for (char& letter : text) {
        letter = letters[randomInteger(0, static_cast<int>(sizeof(letters)) - 2)];
    }
    return text;
}

} // namespace faasm

#endif

#endif
