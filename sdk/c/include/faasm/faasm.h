// The header that existing Faasm functions include. Programs written for faasm use <faasm.h>.
#ifndef FAASM_FAASM_FAASM_H
#define FAASM_FAASM_FAASM_H

#include "faasm/core.h"

#endif
