// The tags of what WebAssembly throws: C++ exceptions, and longjmp. Newer compilers define them
// nowhere.
__asm__(".globl __cpp_exception\n"
        ".tagtype __cpp_exception i32\n"
        "__cpp_exception:\n"
        ".globl __c_longjmp\n"
        ".tagtype __c_longjmp i32\n"
        "__c_longjmp:\n");
