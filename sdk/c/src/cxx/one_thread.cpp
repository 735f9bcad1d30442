// What happens where another thread cannot be made. The linker is told to take these instead of the
// library's.
#include <future>
#include <system_error>

#define SYSTEM_ERROR "_ZNSt3__220__throw_system_errorEiPKc"
#define WAIT "_ZNSt3__217__assoc_sub_state4waitEv"

namespace faasm {

[[noreturn]] void system_error(int, const char *) __asm__("__wrap_" SYSTEM_ERROR);
void wait(std::__assoc_sub_state *) __asm__("__wrap_" WAIT);
void library_waits(std::__assoc_sub_state *) __asm__("__real_" WAIT);

void system_error(int code, const char *what)
{
    throw std::system_error(std::error_code(code, std::generic_category()), what);
}

// Nobody is left to wait for what std::async could not begin: it is about to be destroyed.
void wait(std::__assoc_sub_state *state)
{
    if (state->use_count() != 0)
        library_waits(state);
}

}
