/* What test programs share. */
#ifndef CHECK_H
#define CHECK_H

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program when something is not so. */
#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);                     \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* Ends the program unless a call gives an error of this class. Needs MPI_ERRORS_RETURN. */
#define FAILS(class, call)                                                                         \
    do {                                                                                           \
        int code_ = (call), class_ = -1;                                                           \
        MPI_Error_class(code_, &class_);                                                           \
        if (class_ != (class)) {                                                                   \
            fprintf(stderr, "%s:%d: %s gives class %d\n", __FILE__, __LINE__, #call, class_);      \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#endif
