// State in Faasm's manner: every function of its headers that is about it.
#include "faasm/array.h"
#include "faasm/faasm.h"
#include "faasm/state.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#define CHECK(what)                                                                             \
    do {                                                                                        \
        if (!(what)) {                                                                          \
            printf("line %d: %s\n", __LINE__, #what);                                           \
            exit(1);                                                                            \
        }                                                                                       \
    } while (0)

static void bytes()
{
    const uint8_t value[] = { 1, 2, 3, 4, 5 };
    uint8_t buffer[8] = { 0 };
    CHECK(faasmReadStateSize("none") == 0);
    faasmWriteState("key", value, 5);
    CHECK(faasmReadStateSize("key") == 5);
    CHECK(faasmReadState("key", buffer, 5) == 5 && memcmp(buffer, value, 5) == 0);
    faasmPushState("key");
    faasmWriteStateOffset("key", 5, 1, value, 2);
    faasmReadStateOffset("key", 5, 0, buffer, 3);
    CHECK(buffer[0] == 1 && buffer[1] == 1 && buffer[2] == 2);
    faasmPushStatePartial("key");
    uint8_t* pointer = faasmReadStatePtr("key", 5);
    CHECK(pointer[1] == 1 && faasmReadStateOffsetPtr("key", 5, 2, 2) == pointer + 2);
    pointer[4] = 9;
    faasmPullState("key", 5);
    CHECK(pointer[4] == 5 && pointer[1] == 1);
    pointer[4] = 9;
    pointer[3] = 9;
    faasmFlagStateOffsetDirty("key", 5, 4, 1);
    faasmPushStatePartial("key");
    faasmPullState("key", 5);
    CHECK(pointer[4] == 9 && pointer[3] == 4);
    faasmFlagStateDirty("key", 5);
    pointer[3] = 7;
    faasmPushStatePartial("key");
    faasmPullState("key", 5);
    CHECK(pointer[3] == 7);

    faasmAppendState("list", value, 2);
    faasmAppendState("list", value + 2, 3);
    faasmReadAppendedState("list", buffer, 5, 2);
    CHECK(memcmp(buffer, value, 5) == 0);
    faasmClearAppendedState("list");

    faasmLockStateWrite("key");
    faasmUnlockStateWrite("key");
    faasmLockStateRead("key");
    faasmUnlockStateRead("key");
}

static void masks()
{
    const long size = 4 * sizeof(double);
    faasm::zeroState("weights", size);
    faasm::zeroState("mask", size);
    double* weights = reinterpret_cast<double*>(faasmReadStatePtr("weights", size));
    unsigned int* mask = reinterpret_cast<unsigned int*>(faasmReadStatePtr("mask", size));
    weights[1] = 1.5;
    weights[2] = 2.5;
    faasm::maskDouble(mask, 2);
    faasmPushStatePartialMask("weights", "mask");
    faasmPullState("weights", size);
    CHECK(weights[1] == 0 && weights[2] == 2.5);
}

static void arrays()
{
    faasm::AsyncArray<int> array("array", 10000);
    array.zero();
    array.pullLazy();
    array[3] = 33;
    array[9999] = 44;
    array.push();
    array.data()[5] = 55;
    array.pull();
    CHECK(array[3] == 33 && array[9999] == 44 && array[5] == 0);
}

int main()
{
    bytes();
    masks();
    arrays();
    return 0;
}
