// Variables that threads of one function share.
#ifndef FAASM_FAASM_SHARED_MEM_H
#define FAASM_FAASM_SHARED_MEM_H

#include "faasm/host_interface.h"

#define FAASM_TYPE_RAW 0
#define FAASM_TYPE_BOOL 1
#define FAASM_TYPE_INT 2
#define FAASM_TYPE_LONG 3
#define FAASM_TYPE_FLOAT 4
#define FAASM_TYPE_DOUBLE 5

#define FAASM_OP_OVERWRITE 0
#define FAASM_OP_SUM 1
#define FAASM_OP_PRODUCT 2
#define FAASM_OP_SUBTRACT 3
#define FAASM_OP_MAX 4
#define FAASM_OP_MIN 5

// Merge what each thread has in `var`; INNER does so within the present batch of threads.
#define FAASM_REDUCE(var, type, op) __faasm_sm_reduce(&(var), type, op, 0);
#define FAASM_REDUCE_INNER(var, type, op) __faasm_sm_reduce(&(var), type, op, 1);

#define FAASM_START_CRITICAL_LOCAL() __faasm_sm_critical_local();
#define FAASM_END_CRITICAL_LOCAL() __faasm_sm_critical_local_end();

// Does `op` while no other thread of this instance is in such a part.
#define FAASM_CRITICAL_LOCAL(op)                                                                   \
    {                                                                                              \
        __faasm_sm_critical_local();                                                               \
        op;                                                                                        \
        __faasm_sm_critical_local_end();                                                           \
    }

#define FAASM_ATOMIC_INCR(var) FAASM_CRITICAL_LOCAL((var)++)
#define FAASM_ATOMIC_INCR_BY(var, value) FAASM_CRITICAL_LOCAL((var) += (value))

#endif
