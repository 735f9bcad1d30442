// setjmp and longjmp: the compiler calls these where a program does. A jump is an exception of its
// own tag.
#include <stdint.h>

struct Values {
    void *buffer;
    int value;
};

struct Jump {
    void *frame;
    uint32_t label;
    struct Values values;
};

void __wasm_setjmp(void *buffer, uint32_t label, void *frame);
uint32_t __wasm_setjmp_test(void *buffer, void *frame);
_Noreturn void __wasm_longjmp(void *buffer, int value);

// Notes that this call of a function would be continued at a label.
void __wasm_setjmp(void *buffer, uint32_t label, void *frame)
{
    struct Jump *jump = buffer;
    jump->frame = frame;
    jump->label = label;
}

// The label if it is this call of the function that the jump goes to, else 0.
uint32_t __wasm_setjmp_test(void *buffer, void *frame)
{
    struct Jump *jump = buffer;
    return jump->frame == frame ? jump->label : 0;
}

void __wasm_longjmp(void *buffer, int value)
{
    struct Jump *jump = buffer;
    jump->values.buffer = buffer;
    jump->values.value = value != 0 ? value : 1;
    __builtin_wasm_throw(1, &jump->values);
}
