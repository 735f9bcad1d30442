// setjmp, for libcs without one or that offer less of it.
#ifndef FAASM_POSIX_SETJMP_H
#define FAASM_POSIX_SETJMP_H

#ifndef __wasm_exception_handling__
#error "setjmp needs the newer toolchain (clang-22): run scripts/setup. In C++ it also needs exceptions: leave out -fno-exceptions"
#elif __has_include_next(<setjmp.h>)
#include_next <setjmp.h>
#else

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    void *__faasm_jump[8];
} jmp_buf[1];

int setjmp(jmp_buf buffer) __attribute__((__returns_twice__));
void longjmp(jmp_buf buffer, int value) __attribute__((__noreturn__));
#define setjmp setjmp

#ifdef __cplusplus
}
#endif

typedef jmp_buf sigjmp_buf;
#endif

// The compiler knows the plain names only; there are no signals to keep.
#define _setjmp(buffer) setjmp(buffer)
#define _longjmp(buffer, value) longjmp(buffer, value)
#define sigsetjmp(buffer, save) setjmp(buffer)
#define siglongjmp(buffer, value) longjmp(buffer, value)

#endif
