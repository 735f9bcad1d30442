// Existing functions include this beside core.h; it adds nothing to it.
#ifndef FAASM_FAASM_MEMORY_H
#define FAASM_FAASM_MEMORY_H

#include "faasm/core.h"

#endif
