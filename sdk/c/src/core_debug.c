// faasm/core.h: configuration and debugging.
#include <faasm/core.h>
#include <faasm/host_interface.h>

unsigned int getConfFlag(const char* key)
{
    return __faasm_conf_flag(key);
}

void faasmBacktrace(const int depth)
{
    __faasm_backtrace(depth);
}
