/* SPDX-License-Identifier: MIT */
/* cflags: -std=c++20 */
/*
 * Threads that leave a wait otherwise than by its end: cancelled at once or later, by
 * pthread_exit or a jump from a handler, through frames that allow it and one that does not.
 * Afterwards the locks work as if nothing had been.
 *
 * Context: test program.
 */
#include "lock_victim.h"

#include <condition_variable>
#include <csetjmp>
#include <csignal>
#include <cxxabi.h>
#include <linux/futex.h>
#include <mutex>
#include <semaphore.h>
#include <sys/wait.h>
#include <threads.h>

static pthread_mutex_t mutex, other_mutex;
static pthread_cond_t cond;
static pthread_rwlock_t rwlock;
static pthread_barrier_t barrier;
static sem_t sem;
static pthread_t sleeper;
static cnd_t cnd;
static mtx_t mtx;

/* Says that its scope was left, and whether the mutex is this thread's. */
struct scope {
	const char *name;
	~scope()
	{
		int state;
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* a destructor may not be left by a cancellation */
		const int owned = pthread_mutex_lock(&mutex); /* EDEADLK: mine */
		printf("    %s is left, the mutex is %s\n", name, owned == EDEADLK ? "mine" : "not mine");
		pthread_mutex_unlock(&mutex);
		pthread_setcancelstate(state, nullptr);
	}
};

static int cond_wait(void *) { scope s{"cond_wait"}; pthread_mutex_lock(&mutex); return pthread_cond_wait(&cond, &mutex); }
static int cond_timedwait(void *)
{
	scope s{"cond_timedwait"};
	pthread_mutex_lock(&mutex);
	return pthread_cond_timedwait(&cond, &mutex, LATER(CLOCK_REALTIME));
}
static int cond_clockwait(void *)
{
	scope s{"cond_clockwait"};
	pthread_mutex_lock(&mutex);
	return pthread_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, LATER(CLOCK_MONOTONIC));
}
static int wait_sem(void *) { scope s{"sem_wait"}; return sem_wait(&sem); }
static int timedwait_sem(void *) { scope s{"sem_timedwait"}; return sem_timedwait(&sem, LATER(CLOCK_REALTIME)); }
static int clockwait_sem(void *)
{
	scope s{"sem_clockwait"};
	return sem_clockwait(&sem, CLOCK_MONOTONIC, LATER(CLOCK_MONOTONIC));
}
static int join(void *) { scope s{"join"}; return pthread_join(sleeper, nullptr); }
static int timedjoin(void *) { scope s{"timedjoin"}; return pthread_timedjoin_np(sleeper, nullptr, LATER(CLOCK_REALTIME)); }
static int clockjoin(void *)
{
	scope s{"clockjoin"};
	return pthread_clockjoin_np(sleeper, nullptr, CLOCK_MONOTONIC, LATER(CLOCK_MONOTONIC));
}
static int c11_cnd_wait(void *) { scope s{"cnd_wait"}; mtx_lock(&mtx); return cnd_wait(&cnd, &mtx); }
static int c11_thrd_join(void *) { scope s{"thrd_join"}; int result; return thrd_join(sleeper, &result); }

/* No cancellation points, with a deferred type. */
static int lock_mutex(void *) { scope s{"mutex_lock"}; return pthread_mutex_lock(&other_mutex); }
static int timedlock_mutex(void *)
{
	scope s{"mutex_timedlock"};
	return pthread_mutex_timedlock(&other_mutex, LATER(CLOCK_REALTIME));
}
static int rdlock(void *) { scope s{"rwlock_rdlock"}; return pthread_rwlock_rdlock(&rwlock); }
static int wrlock(void *) { scope s{"rwlock_wrlock"}; return pthread_rwlock_wrlock(&rwlock); }
static int wait_barrier(void *) { scope s{"barrier_wait"}; return pthread_barrier_wait(&barrier); }
static int futex(void *)
{
	static uint32_t word;
	static const timespec soon = {0, 200000000};
	scope s{"futex"};
	return (int)syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &soon, nullptr, 0);
}

/* The same for the asynchronous type: a frame with something to destroy may not be left by what cannot throw. */
static int bare_lock(void *) { return pthread_mutex_lock(&other_mutex); }
static int bare_timedlock(void *) { return pthread_mutex_timedlock(&other_mutex, LATER(CLOCK_REALTIME)); }
static int bare_rdlock(void *) { return pthread_rwlock_rdlock(&rwlock); }
static int bare_wrlock(void *) { return pthread_rwlock_wrlock(&rwlock); }
static int bare_barrier(void *) { return pthread_barrier_wait(&barrier); }
static int bare_sem(void *) { return sem_wait(&sem); }
static int bare_futex(void *)
{
	static uint32_t word;
	return (int)syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
}

static void fresh_objects()
{
	pthread_mutexattr_t attributes;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&mutex, &attributes);
	pthread_mutex_init(&other_mutex, nullptr);
	pthread_cond_init(&cond, nullptr);
	pthread_rwlock_init(&rwlock, nullptr);
	pthread_barrier_init(&barrier, nullptr, 2);
	sem_init(&sem, 0, 0);
	cnd_init(&cnd);
	mtx_init(&mtx, mtx_plain);
}

static void *sleep_long(void *)
{
	for (;;)
		pause();
	return nullptr;
}

static int asynchronously(void *call)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
	return reinterpret_cast<int (*)(void *)>(call)(nullptr);
}

static int already_cancelled(void *call)
{
	pthread_cancel(pthread_self());
	return reinterpret_cast<int (*)(void *)>(call)(nullptr);
}

static int uncancellable(void *)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
	const int result = sem_wait(&sem);
	printf("    the wait is over: %d\n", result);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
	pthread_testcancel();
	return result;
}

static void say_thread(pthread_t thread, const char *what)
{
	void *value = nullptr;
	pthread_join(thread, &value);
	printf("    %s: %s\n", what, value == PTHREAD_CANCELED ? "cancelled" : "returned");
}

/* What was waited for works on. */
static void still_works()
{
	if (pthread_mutex_trylock(&mutex) || pthread_mutex_unlock(&mutex))
		printf("    the mutex is gone\n");
	if (sem_post(&sem) || sem_wait(&sem))
		printf("    the semaphore is gone\n");
	waiter w;
	waiter_begin(&w, [](void *) {
		pthread_mutex_lock(&mutex);
		const int result = pthread_cond_wait(&cond, &mutex);
		pthread_mutex_unlock(&mutex);
		return result;
	}, nullptr);
	pthread_cond_broadcast(&cond);
	waiter_end(&w, "a wait afterwards");
	struct holder h;
	auto lock_other = [](void *) { return pthread_mutex_lock(&other_mutex); };
	auto unlock_other = [](void *) { return pthread_mutex_unlock(&other_mutex); };
	holder_begin(&h, lock_other, unlock_other, nullptr);
	SAY(pthread_mutex_lock(&other_mutex));
	holder_end(&h);
	SAY(pthread_mutex_unlock(&other_mutex));
}

static void cancelled(int (*call)(void *), const char *how)
{
	waiter w;
	fresh_objects();
	if (!strcmp(how, "asynchronously")) {
		waiter_begin(&w, asynchronously, reinterpret_cast<void *>(call));
	} else if (!strcmp(how, "beforehand")) {
		pthread_create(&w.thread, nullptr, [](void *c) -> void * {
			already_cancelled(c);
			return nullptr;
		}, reinterpret_cast<void *>(call));
		say_thread(w.thread, how);
		return;
	} else {
		waiter_begin(&w, call, nullptr);
	}
	pthread_cancel(w.thread);
	say_thread(w.thread, how);
	still_works();
}

/* Deferred, the lock is got first, and the request stays for the next cancellation point. */
static int then_testcancel(void *call)
{
	const int result = reinterpret_cast<int (*)(void *)>(call)(nullptr);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
	printf("    got it: %d\n", result);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
	pthread_testcancel();
	return result;
}

static void not_cancelled(int (*call)(void *), bool asynchronous, const char *how)
{
	waiter w;
	fresh_objects();
	pthread_mutex_lock(&other_mutex);
	pthread_rwlock_wrlock(&rwlock);
	waiter_begin(&w, asynchronous ? asynchronously : then_testcancel, reinterpret_cast<void *>(call));
	pthread_cancel(w.thread);
	nap(10);
	if (asynchronous)
		say_thread(w.thread, how);
	pthread_mutex_unlock(&other_mutex);
	pthread_rwlock_unlock(&rwlock);
	if (call == wait_barrier && !asynchronous)
		pthread_barrier_wait(&barrier);
	if (!asynchronous)
		say_thread(w.thread, how);
	if (call == bare_lock || call == bare_timedlock) {
		SAY(pthread_mutex_lock(&other_mutex));
		SAY(pthread_mutex_unlock(&other_mutex));
		still_works();
	}
}

/* ---- leaving by a handler ----------------------------------------------------------- */

static thread_local sigjmp_buf jump;

static void on_signal_exit(int) { pthread_exit(reinterpret_cast<void *>(77)); }
static void on_signal_jump(int) { siglongjmp(jump, 5); }

static void handle(void (*handler)(int))
{
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = handler;
	sigaction(SIGUSR2, &action, nullptr);
}

static int jumps_out(void *call)
{
	const int jumped = sigsetjmp(jump, 1);
	if (jumped)
		return jumped;
	return reinterpret_cast<int (*)(void *)>(call)(nullptr);
}

static void left_by_handler()
{
	waiter w;
	static int (*const calls[])(void *) = {bare_lock, bare_sem, bare_futex};
	static const char *const names[] = {"mutex_lock", "sem_wait", "futex"};
	for (int i = 0; i < 3; i++) {
		printf("a handler leaves %s\n", names[i]);
		fresh_objects();
		pthread_mutex_lock(&other_mutex);
		handle(on_signal_jump);
		waiter_begin(&w, jumps_out, reinterpret_cast<void *>(calls[i]));
		pthread_kill(w.thread, SIGUSR2);
		waiter_end(&w, "by siglongjmp");
		handle(on_signal_exit);
		waiter_begin(&w, calls[i], nullptr);
		pthread_kill(w.thread, SIGUSR2);
		void *value = nullptr;
		pthread_join(w.thread, &value);
		printf("    by pthread_exit: %ld\n", reinterpret_cast<long>(value));
		pthread_mutex_unlock(&other_mutex);
		still_works();
	}
}

/* ---- what C++ makes of it ----------------------------------------------------------- */

static int caught(void *)
{
	std::unique_lock<std::mutex> *lock = nullptr;
	static std::mutex m;
	try {
		scope s{"try"};
		sem_wait(&sem);
		lock = new std::unique_lock<std::mutex>(m);
	} catch (abi::__forced_unwind &) {
		printf("    caught the unwinding\n");
		throw;
	} catch (...) {
		printf("    caught something else\n");
		throw;
	}
	delete lock;
	return 0;
}

static int unwound_by_exit(void *)
{
	scope s{"pthread_exit"};
	pthread_mutex_lock(&mutex);
	pthread_exit(PTHREAD_CANCELED);
}

static int thrown_between(void *)
{
	for (int i = 0; i < 3; i++) {
		try {
			std::unique_lock<std::mutex> lock(*reinterpret_cast<std::mutex *>(&other_mutex));
			if (i == 1)
				throw i;
		} catch (int which) {
			printf("    caught %d\n", which);
		}
	}
	return 0;
}

static void no_way_through() noexcept { cond_wait(nullptr); }

/* A child that dies of std::terminate, as it does without. */
template <typename Wait> static void terminates(const char *name, Wait wait_in_thread)
{
	int status = 0;
	printf("a cancelled wait below noexcept: %s\n", name);
	fflush(stdout);
	const pid_t child = fork();
	if (child == 0) {
		close(2);
		alarm(20);
		waiter w;
		fresh_objects();
		waiter_begin(&w, wait_in_thread, nullptr);
		pthread_cancel(w.thread);
		say_thread(w.thread, "returned");
		_exit(0);
	}
	waitpid(child, &status, 0);
	printf("    signal %d status %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0,
	       WIFEXITED(status) ? WEXITSTATUS(status) : 0);
}

int main()
{
	static int (*const points[])(void *) = {cond_wait,     cond_timedwait, cond_clockwait, wait_sem,
						timedwait_sem, clockwait_sem,  join,           timedjoin,
						clockjoin,     c11_cnd_wait,   c11_thrd_join};
	static int (*const no_points[])(void *) = {lock_mutex, timedlock_mutex, rdlock, wrlock, wait_barrier, futex};
	static int (*const bare[])(void *) = {bare_lock, bare_timedlock, bare_rdlock, bare_wrlock, bare_barrier, bare_futex};
	begin();
	pthread_create(&sleeper, nullptr, sleep_long, nullptr);
	for (const char *how : {"deferred", "asynchronously", "beforehand"}) {
		printf("cancelled %s\n", how);
		for (auto call : points)
			cancelled(call, how);
	}
	printf("no cancellation points\n");
	for (auto call : no_points)
		not_cancelled(call, false, "deferred");
	printf("but for the asynchronous type\n");
	for (auto call : bare)
		not_cancelled(call, true, "asynchronously");
	printf("cancellation disabled\n");
	fresh_objects();
	waiter w;
	waiter_begin(&w, uncancellable, nullptr);
	pthread_cancel(w.thread);
	nap(5);
	sem_post(&sem);
	say_thread(w.thread, "afterwards");
	left_by_handler();

	printf("C++\n");
	fresh_objects();
	waiter_begin(&w, caught, nullptr);
	pthread_cancel(w.thread);
	say_thread(w.thread, "forced unwind");
	fresh_objects();
	pthread_create(&w.thread, nullptr, [](void *) -> void * { unwound_by_exit(nullptr); return nullptr; }, nullptr);
	say_thread(w.thread, "pthread_exit");
	SAY(thrown_between(nullptr));
	pthread_cancel(sleeper);
	say_thread(sleeper, "the sleeper");
	terminates("our own", [](void *) { no_way_through(); return 0; });
	terminates("std::condition_variable", [](void *) {
		std::mutex m;
		std::condition_variable c;
		std::unique_lock<std::mutex> lock(m);
		c.wait(lock);
		return 0;
	});
	return 0;
}
