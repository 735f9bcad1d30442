// operator new: the toolchain's ends the program where std::bad_alloc is to be thrown.
#include <new>
#include <stdlib.h>

namespace {

void *allocate(size_t size, size_t alignment)
{
    for (;;) {
        void *memory = nullptr;
        if (alignment <= alignof(max_align_t))
            memory = malloc(size != 0 ? size : 1);
        else if (posix_memalign(&memory, alignment, size != 0 ? size : 1) != 0)
            memory = nullptr;
        if (memory != nullptr)
            return memory;
        std::new_handler handler = std::get_new_handler();
        if (handler == nullptr)
            return nullptr;
        handler();
    }
}

void *allocate_or_throw(size_t size, size_t alignment)
{
    void *memory = allocate(size, alignment);
    if (memory == nullptr)
        throw std::bad_alloc();
    return memory;
}

}

void *operator new(size_t size) { return allocate_or_throw(size, 1); }
void *operator new[](size_t size) { return operator new(size); }
void *operator new(size_t size, std::align_val_t alignment)
{
    return allocate_or_throw(size, static_cast<size_t>(alignment));
}
void *operator new[](size_t size, std::align_val_t alignment)
{
    return operator new(size, alignment);
}
