// Threads, of which there are no others, and what only waits for them: making one fails with EAGAIN in
// pthread_create.
#include "one.h"

#include <atomic>
#include <barrier>
#include <cerrno>
#include <future>
#include <system_error>
#include <thread>

_LIBCPP_BEGIN_NAMESPACE_STD

thread::~thread()
{
    if (joinable())
        terminate();
}
void thread::join() { __throw_system_error(EINVAL, "thread::join failed"); }
void thread::detach() { __throw_system_error(EINVAL, "thread::detach failed"); }
unsigned thread::hardware_concurrency() noexcept { return 1; }

void this_thread::sleep_for(const chrono::nanoseconds &time)
{
    if (time > chrono::nanoseconds::zero())
        __libcpp_thread_sleep_for(time);
}

// The one thread ends with the program: what is to be done then is seen by nobody.
__thread_struct::__thread_struct() : __p_(nullptr) {}
__thread_struct::~__thread_struct() {}
void __thread_struct::notify_all_at_thread_exit(condition_variable *, mutex *) {}
void __thread_struct::__make_ready_at_thread_exit(__assoc_sub_state *state)
{
    state->__add_shared();
}
__thread_specific_ptr<__thread_struct> &__thread_local_data()
{
    static __thread_specific_ptr<__thread_struct> data;
    if (data.get() == nullptr)
        data.set_pointer(new __thread_struct);
    return data;
}

void __cxx_atomic_notify_one(const volatile void *) noexcept {}
void __cxx_atomic_notify_all(const volatile void *) noexcept {}
__cxx_contention_t __libcpp_atomic_monitor(const volatile void *) noexcept { return 0; }
void __libcpp_atomic_wait(const volatile void *, __cxx_contention_t) noexcept
{
    faasm::waits_for_ever("std::atomic::wait");
}
void __cxx_atomic_notify_one(const volatile __cxx_atomic_contention_t *) noexcept {}
void __cxx_atomic_notify_all(const volatile __cxx_atomic_contention_t *) noexcept {}
__cxx_contention_t __libcpp_atomic_monitor(const volatile __cxx_atomic_contention_t *) noexcept
{
    return 0;
}
void __libcpp_atomic_wait(const volatile __cxx_atomic_contention_t *, __cxx_contention_t) noexcept
{
    faasm::waits_for_ever("std::atomic::wait");
}

class __barrier_algorithm_base {
  public:
    ptrdiff_t &expected;
    ptrdiff_t arrived;
};
__barrier_algorithm_base *__construct_barrier_algorithm_base(ptrdiff_t &expected)
{
    return new __barrier_algorithm_base{expected, 0};
}
bool __arrive_barrier_algorithm_base(__barrier_algorithm_base *barrier, uint8_t) noexcept
{
    barrier->arrived += 1;
    if (barrier->arrived < barrier->expected)
        return false;
    barrier->arrived = 0;
    return true;
}
void __destroy_barrier_algorithm_base(__barrier_algorithm_base *barrier) noexcept
{
    delete barrier;
}

_LIBCPP_END_NAMESPACE_STD
