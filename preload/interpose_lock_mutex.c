/* SPDX-License-Identifier: MIT */
/*
 * Mutexes of POSIX and of C11, which are the same in glibc but for what they return.
 *
 * A try says busy where the lock itself would say something else at once: an
 * error-checking mutex locked again by its owner.  Then the real lock's result tells that
 * there was no wait.
 *
 * Robust mutexes are looked at instead: glibc's try (2.36) leaves one locked for ever
 * when it finds it beyond recovery.
 *
 * Context: any (async-signal-safe beyond what the real functions are).
 */
#include <linux/futex.h>

#include "interpose_lock.h"
#include "thread.h"

#define KIND_ROBUST 16 /* bit of the kind */

DEFINE_CONTENDED(pthread_mutex_lock, CPROF_WAIT_MUTEX, mutex, contention_end_of, (pthread_mutex_t * mutex),
		 (mutex))
DEFINE_CONTENDED(pthread_mutex_timedlock, CPROF_WAIT_MUTEX, mutex, contention_end_of,
		 (pthread_mutex_t * mutex, const struct timespec *deadline), (mutex, deadline))
DEFINE_CONTENDED(pthread_mutex_clocklock, CPROF_WAIT_MUTEX, mutex, contention_end_of,
		 (pthread_mutex_t * mutex, clockid_t clock, const struct timespec *deadline),
		 (mutex, clock, deadline))
DEFINE_CHARGED(pthread_mutex_unlock, CPROF_WAIT_MUTEX, (pthread_mutex_t * mutex), (mutex), mutex,
	       interpose_lock_is_last_unlock(mutex), interpose_lock_has_sleeper(mutex))

/* Whether a robust mutex is another thread's; then the word holds its id. */
static NOINLINE bool is_robust_busy(const pthread_mutex_t *mutex)
{
	uint32_t owner = (uint32_t)__atomic_load_n(&mutex->__data.__lock, __ATOMIC_RELAXED) & FUTEX_TID_MASK;
	return owner != 0 && owner != thread_id();
}

static ALWAYS_INLINE bool is_robust(const pthread_mutex_t *mutex)
{
	return (mutex->__data.__kind & KIND_ROBUST) != 0;
}

/*
 * Takes the mutex, or says at once why not, or that it is busy; a robust one is left to
 * `real_call` unless it is busy.
 */
#define TRY(mutex, real_call)                                          \
	(likely(!is_robust(mutex)) ? real.pthread_mutex_trylock(mutex) \
	 : is_robust_busy(mutex)   ? EBUSY                             \
				   : (real_call))

static NOINLINE int watched_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	int result = TRY(mutex, real.pthread_mutex_lock(mutex));
	return likely(result != EBUSY) ? result : contended_pthread_mutex_lock(mutex);
}

/* A free mutex is taken whatever the deadline is. */
static NOINLINE int watched_pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *deadline)
{
	int result = TRY(mutex, real.pthread_mutex_timedlock(mutex, deadline));
	return likely(result != EBUSY) ? result : contended_pthread_mutex_timedlock(mutex, deadline);
}

static NOINLINE int watched_pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock,
						    const struct timespec *deadline)
{
	if (unlikely(!interpose_lock_has_clock(clock)))
		return real.pthread_mutex_clocklock(mutex, clock, deadline);
	int result = TRY(mutex, real.pthread_mutex_clocklock(mutex, clock, deadline));
	return likely(result != EBUSY) ? result : contended_pthread_mutex_clocklock(mutex, clock, deadline);
}

static NOINLINE int watched_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	if (likely(!contention_may_be_charged(mutex)) ||
	    !contention_must_be_charged(mutex, interpose_lock_has_sleeper(mutex)))
		return real.pthread_mutex_unlock(mutex);
	return charged_pthread_mutex_unlock(mutex);
}

DEFINE_WATCHED(pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex))
DEFINE_WATCHED(pthread_mutex_timedlock, (pthread_mutex_t * mutex, const struct timespec *deadline),
	       (mutex, deadline))
DEFINE_WATCHED(pthread_mutex_clocklock,
	       (pthread_mutex_t * mutex, clockid_t clock, const struct timespec *deadline),
	       (mutex, clock, deadline))
DEFINE_WATCHED(pthread_mutex_unlock, (pthread_mutex_t * mutex), (mutex))

static bool is_last_unlock_c11(const mtx_t *mutex)
{
	return interpose_lock_is_last_unlock((const pthread_mutex_t *)(const void *)mutex);
}

static bool has_sleeper_c11(const mtx_t *mutex)
{
	return interpose_lock_has_sleeper((const pthread_mutex_t *)(const void *)mutex);
}

DEFINE_CONTENDED(mtx_lock, CPROF_WAIT_MUTEX, mutex, interpose_lock_end_of_c11, (mtx_t * mutex), (mutex))
DEFINE_CONTENDED(mtx_timedlock, CPROF_WAIT_MUTEX, mutex, interpose_lock_end_of_c11,
		 (mtx_t * mutex, const struct timespec *deadline), (mutex, deadline))
DEFINE_CHARGED(mtx_unlock, CPROF_WAIT_MUTEX, (mtx_t * mutex), (mutex), mutex, is_last_unlock_c11(mutex),
	       has_sleeper_c11(mutex))

static NOINLINE int watched_mtx_lock(mtx_t *mutex)
{
	int result = real.mtx_trylock(mutex);
	return likely(result != thrd_busy) ? result : contended_mtx_lock(mutex);
}

static NOINLINE int watched_mtx_timedlock(mtx_t *mutex, const struct timespec *deadline)
{
	int result = real.mtx_trylock(mutex);
	return likely(result != thrd_busy) ? result : contended_mtx_timedlock(mutex, deadline);
}

static NOINLINE int watched_mtx_unlock(mtx_t *mutex)
{
	if (likely(!contention_may_be_charged(mutex)) ||
	    !contention_must_be_charged(mutex, has_sleeper_c11(mutex)))
		return real.mtx_unlock(mutex);
	return charged_mtx_unlock(mutex);
}

DEFINE_WATCHED(mtx_lock, (mtx_t * mutex), (mutex))
DEFINE_WATCHED(mtx_timedlock, (mtx_t * mutex, const struct timespec *deadline), (mutex, deadline))
DEFINE_WATCHED(mtx_unlock, (mtx_t * mutex), (mutex))
