// Outputs its version, eight digits. Tests make other versions by changing them in the module.
#include <faasm.h>

#include <string.h>

char version[] = "version=00000000";

int main(void)
{
    return write_call_output(strchr(version, '=') + 1, 8) < 0;
}
