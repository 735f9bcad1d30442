// What the parts of this folder share. They stand in for what the toolchain's C++ library would have
// if it were made with threads: there is one, so whatever waits for another waits in vain.
#ifndef FAASM_THREADS_ONE_H
#define FAASM_THREADS_ONE_H

#include <stdio.h>
#include <stdlib.h>

namespace faasm {

[[noreturn]] inline void waits_for_ever(const char *what)
{
    fflush(stdout);
    fprintf(stderr, "%s waits for another thread, and there is only one\n", what);
    abort();
}

}

#endif
