// Mutexes and condition variables. A lock that could never be had is an error where the standard has
// one for deadlocks, else it ends the program.
#include "one.h"

#include <cerrno>
#include <condition_variable>
#include <limits>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <system_error>
#include <thread>

namespace {

void take(pthread_mutex_t &mutex, const char *what)
{
    if (int error = pthread_mutex_lock(&mutex))
        std::__throw_system_error(error, what);
}

[[noreturn]] void would_deadlock(const char *what) { std::__throw_system_error(EDEADLK, what); }

}

_LIBCPP_BEGIN_NAMESPACE_STD

mutex::~mutex() noexcept {}
void mutex::lock() { take(__m_, "mutex lock failed"); }
bool mutex::try_lock() noexcept { return pthread_mutex_trylock(&__m_) == 0; }
void mutex::unlock() noexcept { pthread_mutex_unlock(&__m_); }

recursive_mutex::recursive_mutex() { __libcpp_recursive_mutex_init(&__m_); }
recursive_mutex::~recursive_mutex() {}
void recursive_mutex::lock() { take(__m_, "recursive_mutex lock failed"); }
bool recursive_mutex::try_lock() noexcept { return pthread_mutex_trylock(&__m_) == 0; }
void recursive_mutex::unlock() noexcept { pthread_mutex_unlock(&__m_); }

timed_mutex::timed_mutex() : __locked_(false) {}
timed_mutex::~timed_mutex() {}
void timed_mutex::lock()
{
    if (!try_lock())
        would_deadlock("timed_mutex lock failed");
}
bool timed_mutex::try_lock() noexcept
{
    bool had = __locked_;
    __locked_ = true;
    return !had;
}
void timed_mutex::unlock() noexcept { __locked_ = false; }

recursive_timed_mutex::recursive_timed_mutex() : __count_(0) {}
recursive_timed_mutex::~recursive_timed_mutex() {}
void recursive_timed_mutex::lock()
{
    if (!try_lock())
        std::__throw_system_error(EAGAIN, "recursive_timed_mutex lock limit reached");
}
bool recursive_timed_mutex::try_lock() noexcept
{
    if (__count_ == numeric_limits<size_t>::max())
        return false;
    __count_ += 1;
    __id_ = this_thread::get_id();
    return true;
}
void recursive_timed_mutex::unlock() noexcept
{
    __count_ -= 1;
    if (__count_ == 0)
        __id_ = __thread_id();
}

// The state is how many readers there are, or that there is a writer.
__shared_mutex_base::__shared_mutex_base() : __state_(0) {}
void __shared_mutex_base::lock()
{
    if (!try_lock())
        would_deadlock("shared_mutex lock failed");
}
bool __shared_mutex_base::try_lock()
{
    if (__state_ != 0)
        return false;
    __state_ = __write_entered_;
    return true;
}
void __shared_mutex_base::unlock() { __state_ = 0; }
void __shared_mutex_base::lock_shared()
{
    if (!try_lock_shared())
        would_deadlock("shared_mutex lock_shared failed");
}
bool __shared_mutex_base::try_lock_shared()
{
    if ((__state_ & __write_entered_) != 0 || __state_ == __n_readers_)
        return false;
    __state_ += 1;
    return true;
}
void __shared_mutex_base::unlock_shared() { __state_ -= 1; }

shared_timed_mutex::shared_timed_mutex() {}
void shared_timed_mutex::lock() { __base_.lock(); }
bool shared_timed_mutex::try_lock() { return __base_.try_lock(); }
void shared_timed_mutex::unlock() { __base_.unlock(); }
void shared_timed_mutex::lock_shared() { __base_.lock_shared(); }
bool shared_timed_mutex::try_lock_shared() { return __base_.try_lock_shared(); }
void shared_timed_mutex::unlock_shared() { __base_.unlock_shared(); }

condition_variable::~condition_variable() {}
void condition_variable::notify_one() noexcept {}
void condition_variable::notify_all() noexcept {}
void condition_variable::wait(unique_lock<mutex> &) noexcept
{
    faasm::waits_for_ever("std::condition_variable::wait");
}
void condition_variable::__do_timed_wait(
    unique_lock<mutex> &lock,
    chrono::time_point<chrono::system_clock, chrono::nanoseconds> until) noexcept
{
    lock.unlock();
    auto left = until - chrono::system_clock::now();
    if (left > left.zero())
        this_thread::sleep_for(left);
    lock.lock();
}

// Keeps the lock to the end of the program, which is that of the thread.
void notify_all_at_thread_exit(condition_variable &, unique_lock<mutex> lock) { lock.release(); }

constexpr __sp_mut::__sp_mut(void *mutex) noexcept : __lx_(mutex) {}
void __sp_mut::lock() noexcept {}
void __sp_mut::unlock() noexcept {}
__sp_mut &__get_sp_mut(const void *)
{
    static __sp_mut only(nullptr);
    return only;
}

_LIBCPP_END_NAMESPACE_STD
