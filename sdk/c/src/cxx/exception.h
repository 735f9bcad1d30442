// What a thrown object carries before it. The unwinding itself is WebAssembly's: the value that is
// thrown is the address of this header.
#ifndef FAASM_CXX_EXCEPTION_H
#define FAASM_CXX_EXCEPTION_H

#include <stddef.h>
#include <typeinfo>

namespace faasm {

// 32 bytes, so that what follows is aligned for any type.
struct alignas(16) Exception {
    std::type_info *type;
    // What the ABI of wasm32 has a destructor return is its object.
    void *(*destroy)(void *);
    // The one that was being handled when this one was caught.
    Exception *next;
    // Catch clauses that handle it; negative while it is thrown again from one of them.
    int handlers;
    // How many exception_ptr and throws hold it.
    size_t references;
    // What the clause that catches it gets: a base of the object, or what a thrown pointer says.
    void *caught;
    // Of one that an exception_ptr threw again: that exception's object.
    void *primary;
    unsigned unused;

    void *object() { return primary != nullptr ? primary : this + 1; }
    static Exception *of(void *object) { return static_cast<Exception *>(object) - 1; }
};

// Those that are being handled, last first, and how many are on their way to a handler.
struct Globals {
    Exception *caught;
    unsigned uncaught;
};
extern Globals globals;

}

#endif
