// Time since 1970, and how long a part of a program ran.
#ifndef FAASM_FAASM_TIME_H
#define FAASM_FAASM_TIME_H

#include <stdio.h>
#include <time.h>

// FAASM_PROF_START(part) ... FAASM_PROF_END(part) prints the milliseconds of CPU time between.
#define FAASM_PROF_START(var) const clock_t faasmProf_##var = clock();
#define FAASM_PROF_END(var)                                                                        \
    printf("PROF %s %.3f ms\n", #var,                                                              \
           (double)(clock() - faasmProf_##var) * 1000.0 / (double)CLOCKS_PER_SEC);

#ifdef __cplusplus

namespace faasm {

inline double getSecondsSinceEpoch()
{
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

} // namespace faasm

#endif

#endif
