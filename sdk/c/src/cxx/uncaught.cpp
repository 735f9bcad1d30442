// What goes wrong with exceptions beyond the program's own code: one that nobody catches, and those
// that the toolchain's library, built without exceptions, would end the program for.
#include "exception.h"

#include <cxxabi.h>
#include <exception>
#include <new>
#include <stdexcept>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <typeinfo>

namespace {

[[noreturn]] void end(const char *what)
{
    const std::type_info *type = abi::__cxa_current_exception_type();
    const char *name = type != nullptr ? type->name() : "?";
    char *plain = abi::__cxa_demangle(name, nullptr, nullptr, nullptr);
    fflush(stdout);
    fprintf(stderr, "terminate called after throwing an instance of '%s'\n",
            plain != nullptr ? plain : name);
    if (what != nullptr)
        fprintf(stderr, "  what():  %s\n", what);
    abort();
}

}

// The program's main, and around it what WebAssembly has no other place for.
extern "C" int program_main(void) __asm__("__real_" MAIN);
extern "C" int guarded_main(void) __asm__("__wrap_" MAIN);

int guarded_main(void)
{
    try {
        return program_main();
    } catch (const std::exception &exception) {
        end(exception.what());
    } catch (...) {
        end(nullptr);
    }
}

extern "C" void __cxa_bad_cast(void) { throw std::bad_cast(); }
extern "C" void __cxa_bad_typeid(void) { throw std::bad_typeid(); }
extern "C" void __cxa_throw_bad_array_new_length(void)
{
    throw std::bad_array_new_length();
}
