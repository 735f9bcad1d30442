// What C++ programs have of threads when there is one: all but another thread.
#include "check.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <execution>
#include <future>
#include <iostream>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <numeric>
#include <shared_mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>
#if __cplusplus >= 202002L
#include <barrier>
#include <bit>
#include <concepts>
#include <latch>
#include <numbers>
#include <ranges>
#include <semaphore>
#include <source_location>
#include <span>
#include <stop_token>
#include <syncstream>
#endif

using namespace std::chrono_literals;

static std::mutex mutex;

static void locks()
{
    std::mutex other;
    std::recursive_mutex again;
    std::timed_mutex timed;
    std::shared_mutex shared;
    {
        std::scoped_lock both(mutex, other);
    }
    std::unique_lock<std::mutex> lock(mutex, std::try_to_lock);
    CHECK(lock.owns_lock());
    lock.unlock();
    lock.lock();
    {
        std::lock_guard<std::recursive_mutex> one(again), two(again);
        CHECK(again.try_lock());
        again.unlock();
    }
    CHECK(timed.try_lock_for(1ms));
    timed.unlock();
    {
        std::shared_lock<std::shared_mutex> one(shared), two(shared);
    }
    std::unique_lock<std::shared_mutex> writer(shared);
    std::once_flag once;
    int calls = 0;
    for (int i = 0; i < 3; i++)
        std::call_once(once, [&] { calls += 1; });
    CHECK(calls == 1);
}

static void waits()
{
    std::condition_variable condition;
    std::unique_lock<std::mutex> lock(mutex);
    auto begin = std::chrono::steady_clock::now();
    CHECK(condition.wait_for(lock, 3ms) == std::cv_status::timeout && lock.owns_lock());
    std::this_thread::sleep_for(2ms);
    CHECK(std::chrono::steady_clock::now() - begin >= 4ms);
    condition.notify_all();
    condition.wait(lock, [] { return true; });
    CHECK(!condition.wait_for(lock, 1ms, [] { return false; }));
}

static void threads()
{
    CHECK(std::thread::hardware_concurrency() >= 1);
    CHECK(std::this_thread::get_id() != std::thread::id());
    std::this_thread::yield();
    bool made = true;
    try {
        std::thread([] {}).join();
    } catch (const std::system_error &error) {
        made = error.code() != std::errc::resource_unavailable_try_again;
    }
    CHECK(!made);
}

static void futures()
{
    std::promise<int> promise;
    std::future<int> future = promise.get_future();
    CHECK(future.wait_for(1ms) == std::future_status::timeout);
    promise.set_value(4);
    CHECK(future.get() == 4);
    CHECK(std::async([] { return 5; }).get() == 5);
    CHECK(std::async(std::launch::deferred, [] { return 6; }).share().get() == 6);
    std::packaged_task<int(int)> task([](int x) { return x + 1; });
    task(6);
    CHECK(task.get_future().get() == 7);
    std::future<int> broken;
    {
        std::promise<int> forgotten;
        broken = forgotten.get_future();
    }
    bool told = false;
    try {
        CHECK(broken.get() == 0);
    } catch (const std::future_error &error) {
        told = error.code() == std::future_errc::broken_promise;
    }
    CHECK(told);
}

static void values()
{
    std::atomic<double> real{1.5};
    double expected = 1.5;
    CHECK(real.compare_exchange_strong(expected, 2) && real == 2);
    auto one = std::make_shared<int>(3);
    std::shared_ptr<int> two;
    std::atomic_store(&two, one);
    CHECK(two == one && one.use_count() == 2);
    std::pmr::synchronized_pool_resource pool;
    std::pmr::vector<int> many(1000, 1, &pool);
    many.resize(5000, 2);
    CHECK(std::reduce(std::execution::par, many.begin(), many.end()) == 1000 + 8000);
}

#if __cplusplus >= 202002L
static void newer()
{
    std::latch latch(1);
    latch.count_down();
    latch.wait();
    std::barrier barrier(1);
    barrier.arrive_and_wait();
    barrier.arrive_and_wait();
    std::binary_semaphore semaphore(1);
    semaphore.acquire();
    CHECK(!semaphore.try_acquire_for(1ms));
    std::stop_source source;
    bool stopped = false;
    std::stop_callback callback(source.get_token(), [&] { stopped = true; });
    source.request_stop();
    CHECK(stopped);
    std::atomic<int> word{1};
    word.wait(0);
    word.notify_all();
    int numbers[] = {1, 2, 3};
    int sum = 0;
    for (int x : std::span(numbers) | std::views::transform([](int y) { return 2 * y; }))
        sum += x;
    CHECK(sum == 12 && std::popcount(7U) == 3 && std::numbers::pi > 3);
    CHECK(std::source_location::current().line() > 0);
    std::osyncstream(std::cout) << "newer\n";
}
#else
static void newer() {}
#endif

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    locks();
    waits();
    threads();
    futures();
    values();
    newer();
    MPI_Finalize();
    return 0;
}
