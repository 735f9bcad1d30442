// An array over a state value.
#ifndef FAASM_FAASM_ARRAY_H
#define FAASM_FAASM_ARRAY_H

#include "faasm/core.h"
#include "faasm/state.h"

#ifdef __cplusplus

#include <string>

namespace faasm {

// Reading an element through [] counts as writing it: push sends the elements that were touched.
template<typename T>
class AsyncArray
{
  public:
    AsyncArray(const char* key, size_t nElems)
      : key(key)
      , bytes(static_cast<long>(nElems * sizeof(T)))
    {}

    void zero() { zeroState(key.c_str(), static_cast<size_t>(bytes)); }

    T& operator[](int idx)
    {
        const long offset = static_cast<long>(idx) * static_cast<long>(sizeof(T));
        faasmFlagStateOffsetDirty(key.c_str(), bytes, offset, sizeof(T));
        return data()[idx];
    }

    // Fetches the value unless it is here.
    void pullLazy() { data(); }

    // Fetches the value.
    void pull()
    {
        faasmPullState(key.c_str(), bytes);
        elements = nullptr;
        data();
    }

    void push() { faasmPushStatePartial(key.c_str()); }

    T* data()
    {
        if (elements == nullptr) {
            elements = reinterpret_cast<T*>(faasmReadStatePtr(key.c_str(), bytes));
        }
        return elements;
    }

  private:
    std::string key;
    long bytes;
    T* elements = nullptr;
};

} // namespace faasm

#endif

#endif
