// A function in Faasm's C++ manner: every helper header that works without state or files.
#include "faasm/array.h"
#include "faasm/compare.h"
#include "faasm/faasm.h"
#include "faasm/files.h"
#include "faasm/input.h"
#include "faasm/memory.h"
#include "faasm/migrate.h"
#include "faasm/print.h"
#include "faasm/random.h"
#include "faasm/shared_mem.h"
#include "faasm/state.h"
#include "faasm/time.h"

#include <algorithm>
#include <cstdio>
#include <string>

static bool numbersAreRight()
{
    int* parsed = faasm::parseStringToIntArray("4 5 6", 3);
    int expected[] = { 4, 5, 6 };
    int other[] = { 4, 5, 7 };
    if (parsed == nullptr || !faasm::compareArrays<int>(parsed, expected, 3)) {
        return false;
    }
    faasm::printArray<int>(parsed, 3);
    return faasm::parseStringToIntArray("4 5", 3) == nullptr &&
           faasm::parseStringToIntArray("4 5 6 7", 3) == nullptr &&
           !faasm::compareArrays<int>(parsed, other, 3);
}

static bool randomIsRight()
{
    int* range = faasm::randomIntRange(10);
    std::sort(range, range + 10);
    for (int i = 0; i < 10; i++) {
        int number = faasm::randomInteger(3, 5);
        float fraction = faasm::randomFloat();
        if (range[i] != i || number < 3 || number > 5 || fraction < 0 || fraction >= 1) {
            return false;
        }
    }
    return faasm::randomString(12).size() == 12;
}

int main(int argc, char* argv[])
{
    FAASM_PROF_START(whole)
    unsigned int mask[4] = { 0, 0, 0, 0 };
    faasm::maskDouble(mask, 1);
    if (!numbersAreRight() || !randomIsRight() || faasm::getSecondsSinceEpoch() < 1.6e9 ||
        mask[1] != 0 || mask[2] != ~0u || mask[3] != ~0u) {
        return 1;
    }
    if (faasm::getFileLength("/no/such/file") >= 0) {
        return 2;
    }
    FAASM_PROF_END(whole)
    const std::string output = std::string(faasm::getStringInput("nothing")) + " " +
                               std::to_string(faasm::getIntInput() + 1);
    faasm::setStringOutput(output.c_str());
    return 0;
}
