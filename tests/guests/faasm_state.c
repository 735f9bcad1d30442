// A function in Faasm's C manner that uses state: it compiles and is taken; a host without state
// ends the call with an error that names the import.
#include "faasm/faasm.h"

int main(int argc, char* argv[])
{
    uint8_t value[4] = { 1, 2, 3, 4 };
    faasmWriteState("key", value, sizeof(value));
    faasmPushState("key");
    faasmReadStatePtr("key", sizeof(value));
    return 0;
}
