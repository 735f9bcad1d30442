// Which catch clause takes an exception: called by compiled code where an exception arrives.
#include "exception.h"

#include <exception>
#include <stdint.h>

using faasm::Exception;

// Compiled code says where the exception arrived, and reads which clause takes it: 0 for none.
struct LandingPad {
    uintptr_t index;
    const uint8_t *table;
    uintptr_t selector;
};
extern "C" LandingPad __wasm_lpad_context;
LandingPad __wasm_lpad_context;

namespace {

// The C++ library's type_info: its fifth virtual function tells whether it catches another type,
// and moves the pointer to the part of the object that is caught. Never defined here.
class Catchable : public std::type_info {
  public:
    ~Catchable() override;
    virtual void unused1() const;
    virtual void unused2() const;
    virtual bool catches(const Catchable *thrown, void *&object) const = 0;
};

uint64_t unsigned_leb(const uint8_t *&at)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = *at++;
        if (shift < 64)
            value |= static_cast<uint64_t>(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
}

int64_t signed_leb(const uint8_t *&at)
{
    const uint8_t *begin = at;
    uint64_t value = unsigned_leb(at);
    unsigned bits = 7 * static_cast<unsigned>(at - begin);
    if (bits < 64 && (at[-1] & 0x40) != 0)
        value |= ~uint64_t{0} << bits;
    return static_cast<int64_t>(value);
}

// The table of a function: what arrives where, and the types of its catch clauses.
struct Table {
    const uint8_t *sites;
    const uint8_t *actions;
    const uint8_t *types;

    explicit Table(const uint8_t *at)
    {
        // No base for landing pads; types are plain addresses.
        at += 1;
        bool typed = *at++ != 0xff;
        uint64_t offset = typed ? unsigned_leb(at) : 0;
        types = typed ? at + offset : nullptr;
        at += 1;
        uint64_t length = unsigned_leb(at);
        sites = at;
        actions = at + length;
    }

    const Catchable *type(int64_t index) const
    {
        auto *end = reinterpret_cast<std::type_info *const *>(types);
        return static_cast<const Catchable *>(end[-index]);
    }

    // Whether an old exception specification does not let this type through.
    bool forbids(int64_t filter, const Catchable *thrown, void *object) const
    {
        const uint8_t *at = types - filter - 1;
        for (uint64_t index = unsigned_leb(at); index != 0; index = unsigned_leb(at)) {
            void *part = object;
            if (type(static_cast<int64_t>(index))->catches(thrown, part))
                return false;
        }
        return true;
    }
};

int64_t select(const Table &table, uintptr_t index, Exception *exception)
{
    const uint8_t *at = table.sites;
    uint64_t action = 0;
    for (uintptr_t site = 0; site <= index; site++) {
        unsigned_leb(at);
        action = unsigned_leb(at);
    }
    if (action == 0)
        return 0;
    auto *thrown = static_cast<const Catchable *>(exception->type);
    at = table.actions + action - 1;
    for (;;) {
        int64_t filter = signed_leb(at);
        void *object = exception->object();
        if (filter > 0) {
            const Catchable *type = table.type(filter);
            if (type == nullptr || type->catches(thrown, object)) {
                exception->caught = object;
                return filter;
            }
        } else if (filter < 0 && table.forbids(filter, thrown, object)) {
            exception->caught = object;
            return filter;
        }
        const uint8_t *here = at;
        int64_t next = signed_leb(at);
        if (next == 0)
            return 0;
        at = here + next;
    }
}

}

extern "C" int _Unwind_CallPersonality(void *exception)
{
    LandingPad &pad = __wasm_lpad_context;
    pad.selector = static_cast<uintptr_t>(
        select(Table(pad.table), pad.index, static_cast<Exception *>(exception)));
    return 0;
}
