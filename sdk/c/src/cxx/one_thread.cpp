// What happens where another thread cannot be made, and the toolchain's library would end the program.
// The linker is told to take this instead.
#include <system_error>

namespace faasm {

[[noreturn]] void system_error(int, const char *)
    __asm__("__wrap__ZNSt3__220__throw_system_errorEiPKc");

void system_error(int code, const char *what)
{
    throw std::system_error(std::error_code(code, std::generic_category()), what);
}

}
