// A function in Faasm's C manner that uses state; it may run again and again.
#include "faasm/faasm.h"

int main(int argc, char* argv[])
{
    uint8_t value[4] = { 1, 2, 3, 4 };
    faasmWriteState("key", value, sizeof(value));
    faasmPushState("key");
    return faasmReadStatePtr("key", sizeof(value))[3] == 4 ? 0 : 1;
}
