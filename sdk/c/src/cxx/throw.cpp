// Throwing and catching, as the C++ ABI has it. The toolchain's own library is built without.
#include "exception.h"

#include <stdint.h>
#include <stdlib.h>

// As <exception> has it, which also declares functions of this file by other types.
namespace std {
[[noreturn]] void terminate() noexcept;
}

using faasm::Exception;
using faasm::globals;

faasm::Globals faasm::globals;

namespace {

[[noreturn]] void raise(Exception *exception)
{
    globals.uncaught += 1;
    __builtin_wasm_throw(0, exception);
}

void release(Exception *exception)
{
    if (--exception->references > 0)
        return;
    if (exception->primary != nullptr)
        release(Exception::of(exception->primary));
    else if (exception->destroy != nullptr)
        exception->destroy(exception + 1);
    free(exception);
}

}

extern "C" {

void *__cxa_allocate_exception(size_t size) noexcept
{
    void *memory = nullptr;
    if (size > SIZE_MAX - sizeof(Exception) ||
        posix_memalign(&memory, alignof(Exception), sizeof(Exception) + size) != 0)
        std::terminate();
    auto *exception = static_cast<Exception *>(memory);
    *exception = Exception{};
    return exception + 1;
}

void __cxa_free_exception(void *object) noexcept { free(Exception::of(object)); }

void *__cxa_init_primary_exception(void *object, std::type_info *type,
                                   void *(*destroy)(void *)) noexcept
{
    Exception *exception = Exception::of(object);
    exception->type = type;
    exception->destroy = destroy;
    return exception;
}

[[noreturn]] void __cxa_throw(void *object, std::type_info *type, void *(*destroy)(void *))
{
    __cxa_init_primary_exception(object, type, destroy);
    Exception *exception = Exception::of(object);
    exception->references = 1;
    raise(exception);
}

void *__cxa_get_exception_ptr(void *exception) noexcept
{
    return static_cast<Exception *>(exception)->caught;
}

void *__cxa_begin_catch(void *thrown) noexcept
{
    auto *exception = static_cast<Exception *>(thrown);
    int handlers = exception->handlers;
    exception->handlers = (handlers < 0 ? -handlers : handlers) + 1;
    if (globals.caught != exception) {
        exception->next = globals.caught;
        globals.caught = exception;
    }
    globals.uncaught -= 1;
    return exception->caught;
}

void __cxa_end_catch(void)
{
    Exception *exception = globals.caught;
    if (exception == nullptr)
        return;
    if (exception->handlers < 0) {
        // It is on its way again: whoever catches it next keeps it.
        if (++exception->handlers == 0)
            globals.caught = exception->next;
    } else if (--exception->handlers == 0) {
        globals.caught = exception->next;
        release(exception);
    }
}

[[noreturn]] void __cxa_rethrow(void)
{
    Exception *exception = globals.caught;
    if (exception == nullptr)
        std::terminate();
    exception->handlers = -exception->handlers;
    raise(exception);
}

void __cxa_increment_exception_refcount(void *object) noexcept
{
    if (object != nullptr)
        Exception::of(object)->references += 1;
}

void __cxa_decrement_exception_refcount(void *object) noexcept
{
    if (object != nullptr)
        release(Exception::of(object));
}

void *__cxa_current_primary_exception(void) noexcept
{
    if (globals.caught == nullptr)
        return nullptr;
    void *object = globals.caught->object();
    __cxa_increment_exception_refcount(object);
    return object;
}

void __cxa_rethrow_primary_exception(void *object)
{
    if (object == nullptr)
        return;
    Exception *again = Exception::of(__cxa_allocate_exception(0));
    __cxa_increment_exception_refcount(object);
    again->type = Exception::of(object)->type;
    again->primary = object;
    again->references = 1;
    raise(again);
}

std::type_info *__cxa_current_exception_type(void) noexcept
{
    return globals.caught != nullptr ? globals.caught->type : nullptr;
}

unsigned __cxa_uncaught_exceptions(void) noexcept { return globals.uncaught; }

bool __cxa_uncaught_exception(void) noexcept { return globals.uncaught != 0; }

}
