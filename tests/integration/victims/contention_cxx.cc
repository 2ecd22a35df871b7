/* SPDX-License-Identifier: MIT */
/* cflags: -std=c++20 */
/*
 * Waits in the C++ library's clothes: mutexes and condition variables over POSIX ones,
 * atomic waits, semaphores, latches, futures and guards of statics over futex.
 * Prints what wait_tally.h says.
 *
 * Context: test program.
 */
#include "wait_tally.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <latch>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <thread>

#define HELD_MS 80

static constexpr std::chrono::milliseconds held{HELD_MS};

static std::mutex mutex;
static std::timed_mutex timed_mutex;
static std::shared_mutex shared_mutex;
static std::condition_variable condition;
static std::atomic<int> word{0};
static std::binary_semaphore semaphore{0};
static std::counting_semaphore<5> timed_semaphore{0};
static std::latch latch{1};
static std::promise<int> promise;
static std::thread sleeper;
static bool is_ready;
static std::atomic<bool> is_building{false};

static int slow_value()
{
	is_building = true;
	nap(HELD_MS);
	return 7;
}

static int value_of_static()
{
	static const int value = slow_value();
	return value;
}

static int wait_ready()
{
	std::unique_lock<std::mutex> lock(mutex);
	condition.wait(lock, [] { return is_ready; });
	return 0;
}

static int wait_never()
{
	std::unique_lock<std::mutex> lock(mutex);
	return condition.wait_for(lock, held) == std::cv_status::timeout;
}

SITE(cxx_mutex, "pthread_mutex_lock", (mutex.lock(), mutex.unlock(), 0))
SITE(cxx_timed_mutex, "pthread_mutex_clocklock", timed_mutex.try_lock_for(held))
SITE(cxx_shared_mutex, "pthread_rwlock_rdlock", (shared_mutex.lock_shared(), shared_mutex.unlock_shared(), 0))
SITE(cxx_condition, "pthread_cond_wait", wait_ready())
SITE(cxx_condition_for, "pthread_cond_clockwait", wait_never())
SITE(cxx_atomic, "syscall", (word.wait(0), 0))
SITE(cxx_semaphore, "syscall", (semaphore.acquire(), 0))
SITE(cxx_semaphore_for, "syscall", timed_semaphore.try_acquire_for(held))
SITE(cxx_latch, "syscall", (latch.wait(), 0))
SITE(cxx_future, "syscall", promise.get_future().get())
SITE(cxx_static, "syscall", value_of_static())
SITE(cxx_join, "pthread_join", (sleeper.join(), 0))

/* One thread waits there, is seen to sleep, and some time later gets what it waits for. */
template <typename Give> static void wait_at(int (*site)(void *), Give give)
{
	waiter w;
	waiter_begin(&w, site, nullptr);
	nap(HELD_MS);
	give();
	pthread_join(w.thread, nullptr);
}

int main()
{
	begin();
	mutex.lock();
	wait_at(cxx_mutex, [] { mutex.unlock(); });
	timed_mutex.lock();
	std::thread([] { cxx_timed_mutex(nullptr); }).join();
	timed_mutex.unlock();
	shared_mutex.lock();
	wait_at(cxx_shared_mutex, [] { shared_mutex.unlock(); });
	wait_at(cxx_condition, [] {
		std::lock_guard<std::mutex> lock(mutex);
		is_ready = true;
		condition.notify_one();
	});
	cxx_condition_for(nullptr);
	wait_at(cxx_atomic, [] {
		word = 1;
		word.notify_all();
	});
	wait_at(cxx_semaphore, [] { semaphore.release(); });
	cxx_semaphore_for(nullptr);
	wait_at(cxx_latch, [] { latch.count_down(); });
	wait_at(cxx_future, [] { promise.set_value(3); });
	std::thread builder(value_of_static);
	while (!is_building)
		nap(1);
	cxx_static(nullptr);
	builder.join();
	sleeper = std::thread([] { nap(HELD_MS); });
	cxx_join(nullptr);
	for (const wait_tally *tally :
	     {&tally_of_cxx_mutex, &tally_of_cxx_timed_mutex, &tally_of_cxx_shared_mutex, &tally_of_cxx_condition,
	      &tally_of_cxx_condition_for, &tally_of_cxx_atomic, &tally_of_cxx_semaphore, &tally_of_cxx_semaphore_for,
	      &tally_of_cxx_latch, &tally_of_cxx_future, &tally_of_cxx_static, &tally_of_cxx_join})
		tally_print(tally);
}
