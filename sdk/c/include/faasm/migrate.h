// Migration: __faasm_migrate_point.
#ifndef FAASM_FAASM_MIGRATE_H
#define FAASM_FAASM_MIGRATE_H

#include "faasm/host_interface.h"

#endif
