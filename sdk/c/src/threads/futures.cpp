// Futures and promises: the thread that sets a value and the one that waits for it are the same.
#include "one.h"

#include <future>
#include <memory>
#include <string>
#include <system_error>

_LIBCPP_BEGIN_NAMESPACE_STD

namespace {

class FutureCategory : public error_category {
  public:
    const char *name() const noexcept override { return "future"; }
    string message(int code) const override
    {
        switch (static_cast<future_errc>(code)) {
        case future_errc::broken_promise:
            return "The associated promise has been destructed before it was given a value.";
        case future_errc::future_already_retrieved:
            return "The future has already been retrieved from the promise or packaged_task.";
        case future_errc::promise_already_satisfied:
            return "The state of the promise has already been set.";
        case future_errc::no_state:
            return "Operation not permitted on an object without an associated state.";
        }
        return "unspecified future_errc value";
    }
};

// Gives up a share of a state when it goes out of scope, also when its value is an exception.
class Share {
    __assoc_sub_state *state;

  public:
    explicit Share(__assoc_sub_state *state) : state(state) {}
    ~Share() { state->__release_shared(); }
};

}

const error_category &future_category() noexcept
{
    static const FutureCategory category;
    return category;
}

future_error::future_error(error_code code) : logic_error(code.message()), __ec_(code) {}
future_error::~future_error() noexcept {}

void __assoc_sub_state::__on_zero_shared() noexcept { delete this; }

void __assoc_sub_state::set_value()
{
    if (__has_value())
        __throw_future_error(future_errc::promise_already_satisfied);
    __state_ |= __constructed | ready;
}

void __assoc_sub_state::set_value_at_thread_exit()
{
    if (__has_value())
        __throw_future_error(future_errc::promise_already_satisfied);
    __state_ |= __constructed;
}

void __assoc_sub_state::set_exception(exception_ptr exception)
{
    if (__has_value())
        __throw_future_error(future_errc::promise_already_satisfied);
    __exception_ = exception;
    __state_ |= ready;
}

void __assoc_sub_state::set_exception_at_thread_exit(exception_ptr exception)
{
    if (__has_value())
        __throw_future_error(future_errc::promise_already_satisfied);
    __exception_ = exception;
}

void __assoc_sub_state::__make_ready() { __state_ |= ready; }

void __assoc_sub_state::copy()
{
    wait();
    if (__exception_ != nullptr)
        rethrow_exception(__exception_);
}

void __assoc_sub_state::wait()
{
    unique_lock<mutex> lock(__mut_);
    __sub_wait(lock);
}

void __assoc_sub_state::__sub_wait(unique_lock<mutex> &lock)
{
    // Nobody is left to wait for what std::async could not begin: it is about to be destroyed.
    if (__is_ready() || use_count() == 0)
        return;
    if ((__state_ & static_cast<unsigned>(deferred)) == 0)
        faasm::waits_for_ever("std::future");
    __state_ &= ~static_cast<unsigned>(deferred);
    lock.unlock();
    __execute();
    lock.lock();
}

void __assoc_sub_state::__execute() { __throw_future_error(future_errc::no_state); }

future<void>::future(__assoc_sub_state *state) : __state_(state) { __state_->__attach_future(); }
future<void>::~future()
{
    if (__state_ != nullptr)
        __state_->__release_shared();
}
void future<void>::get()
{
    __assoc_sub_state *state = __state_;
    __state_ = nullptr;
    Share share(state);
    state->copy();
}

promise<void>::promise() : __state_(new __assoc_sub_state) {}
promise<void>::~promise()
{
    if (__state_ == nullptr)
        return;
#if __cpp_exceptions
    if (!__state_->__has_value() && __state_->use_count() > 1)
        __state_->set_exception(make_exception_ptr(future_error(future_errc::broken_promise)));
#endif
    __state_->__release_shared();
}
// What a promise shares with its future; a promise that was moved from has none.
static __assoc_sub_state *shared(__assoc_sub_state *state)
{
    if (state == nullptr)
        __throw_future_error(future_errc::no_state);
    return state;
}
future<void> promise<void>::get_future() { return future<void>(shared(__state_)); }
void promise<void>::set_value() { shared(__state_)->set_value(); }
void promise<void>::set_exception(exception_ptr exception)
{
    shared(__state_)->set_exception(exception);
}
void promise<void>::set_value_at_thread_exit() { shared(__state_)->set_value_at_thread_exit(); }
void promise<void>::set_exception_at_thread_exit(exception_ptr exception)
{
    shared(__state_)->set_exception_at_thread_exit(exception);
}

shared_future<void>::~shared_future()
{
    if (__state_ != nullptr)
        __state_->__release_shared();
}
shared_future<void> &shared_future<void>::operator=(const shared_future &other)
{
    if (other.__state_ != nullptr)
        other.__state_->__add_shared();
    if (__state_ != nullptr)
        __state_->__release_shared();
    __state_ = other.__state_;
    return *this;
}

_LIBCPP_END_NAMESPACE_STD
