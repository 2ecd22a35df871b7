/* SPDX-License-Identifier: MIT */
/*
 * The shape that the interposed functions share.
 *
 *   lock(m)              looks at contention_word, jumps to the real one or to
 *   watched_lock(m)      which tries the real trylock, and when that says busy, jumps to
 *   contended_lock(m)    which times the real lock
 *
 * Each is reached by a jump, so the caller of contended_lock() is the program.
 *
 * Context: any (async-signal-safe beyond what the real function is).
 */
#ifndef PRELOAD_INTERPOSE_LOCK_H
#define PRELOAD_INTERPOSE_LOCK_H

#include <errno.h>
#include <stdint.h>

#include "contention.h"
#include "real.h"

/* What a result of C11's functions says. */
static inline enum contention_end interpose_lock_end_of_c11(int result)
{
	if (result == thrd_success)
		return CONTENTION_ACQUIRED;
	return result == thrd_timedout ? CONTENTION_GAVE_UP : CONTENTION_NO_WAIT;
}

/* The last of the three. `end_of`: what the real function's result says. */
#define DEFINE_CONTENDED(name, what, object, end_of, parameters, arguments)           \
	static NOINLINE int contended_##name parameters                               \
	{                                                                             \
		struct contention_wait wait;                                          \
		struct unwind_regs regs;                                              \
		unwind_regs_of_caller(&regs);                                         \
		contention_wait_begin(&wait, what, (const void *)(uintptr_t)(object), \
				      (const void *)(uintptr_t)real.name, &regs);     \
		int result = real.name arguments;                                     \
		contention_wait_end(&wait, end_of(result));                           \
		return result;                                                        \
	}

/* An unlock of a lock that somebody may wait for; `parameters` and `arguments` are as above. */
#define DEFINE_CHARGED(name, what, parameters, arguments, lock, releases, wakes)                          \
	static NOINLINE int charged_##name parameters                                                     \
	{                                                                                                 \
		struct contention_release release = {.is_charged = false};                                \
		struct unwind_regs regs;                                                                  \
		unwind_regs_of_caller(&regs);                                                             \
		if (releases)                                                                             \
			contention_release_begin(&release, what, (const void *)(uintptr_t)(lock), wakes); \
		int result = real.name arguments;                                                         \
		contention_release_end(&release, result == 0, (const void *)(uintptr_t)real.name, &regs); \
		return result;                                                                            \
	}

/*
 * What wakes those who wait for `object`, up to `how_many` of them (0: all), if it has some:
 * watched only while a trace is taken.
 */
#define DEFINE_WAKING(name, what_, how_many, object_, has_waiters, parameters, arguments)            \
	static NOINLINE int watched_##name parameters                                                \
	{                                                                                            \
		struct contention_wake wake = {.what = what_, .count = how_many, .object = object_}; \
		struct unwind_regs regs;                                                             \
		if (likely(!(has_waiters)))                                                          \
			return real.name arguments;                                                  \
		unwind_regs_of_caller(&regs);                                                        \
		wake.time_ns = contention_wake_time();                                               \
		int result = real.name arguments;                                                    \
		if (result == 0)                                                                     \
			contention_wake_record(&wake, (const void *)(uintptr_t)real.name, &regs);    \
		return result;                                                                       \
	}                                                                                            \
	EXPORT FAST_SHORT int INTERPOSED(name) parameters                                            \
	{                                                                                            \
		if (unlikely(trace_is_on()))                                                         \
			return watched_##name arguments;                                             \
		return real.name arguments;                                                          \
	}

/* The first one. */
#define DEFINE_WATCHED(name, parameters, arguments)       \
	EXPORT FAST_SHORT int INTERPOSED(name) parameters \
	{                                                 \
		if (unlikely(contention_is_on()))         \
			return watched_##name arguments;  \
		return real.name arguments;               \
	}

/* Whether an unlock by its owner gives the mutex up: not the inner ones of a recursive mutex. */
static ALWAYS_INLINE bool interpose_lock_is_last_unlock(const pthread_mutex_t *mutex)
{
	const int type_mask = 3; /* of the kind; the other bits say robust, priority and so on */
	return (mutex->__data.__kind & type_mask) != PTHREAD_MUTEX_RECURSIVE_NP || mutex->__data.__count <= 1;
}

/* Whether an unlock has somebody to wake: a bit of an owner's word, or 2, says that one sleeps. */
static ALWAYS_INLINE bool interpose_lock_has_sleeper(const pthread_mutex_t *mutex)
{
	const unsigned int owner_has_waiters = 0x80000000u; /* FUTEX_WAITERS: robust and priority kinds */
	unsigned int word = (unsigned int)__atomic_load_n(&mutex->__data.__lock, __ATOMIC_RELAXED);
	return word == 2 || (word & owner_has_waiters) != 0;
}

/* The clocks that glibc's functions with a clock accept; others fail before they try. */
static inline bool interpose_lock_has_clock(clockid_t clock)
{
	return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
}

/* Functions that look at their deadline before they try fail with others. */
static inline bool interpose_lock_is_valid(const struct timespec *deadline)
{
	return deadline->tv_nsec >= 0 && deadline->tv_nsec < 1000000000;
}

#endif
