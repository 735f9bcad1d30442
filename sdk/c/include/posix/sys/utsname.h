// The libc's, with the name of the node.
#ifndef FAASM_POSIX_SYS_UTSNAME_H
#define FAASM_POSIX_SYS_UTSNAME_H

#include_next <sys/utsname.h>

#ifdef __cplusplus
extern "C" {
#endif

int faasm_uname(struct utsname *name);

#ifdef __cplusplus
}
#endif

#define uname(name) faasm_uname(name)

#endif
