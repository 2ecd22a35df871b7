/* SPDX-License-Identifier: MIT */
/*
 * Semaphores.  The real functions look at their arguments, act on a cancellation that
 * is pending, and then try; so does the watched way.  They say by errno why they
 * failed: a try that fails leaves no trace in it.
 *
 * Context: as the real functions.
 */
#include "interpose_lock.h"
#include "wait_counts.h"

static enum contention_end end_of(int result)
{
	if (result == 0)
		return CONTENTION_ACQUIRED;
	return errno == ETIMEDOUT || errno == EINTR ? CONTENTION_GAVE_UP : CONTENTION_NO_WAIT;
}

static ALWAYS_INLINE bool try_wait(sem_t *semaphore)
{
	int saved_errno = errno;
	pthread_testcancel();
	if (likely(real.sem_trywait(semaphore) == 0))
		return true;
	errno = saved_errno;
	return false;
}

#define DEFINE_SEMAPHORE_WAIT(name, parameters, arguments, is_fit)                             \
	DEFINE_CONTENDED(name, CPROF_WAIT_SEMAPHORE, semaphore, end_of, parameters, arguments) \
	static NOINLINE int watched_##name parameters                                          \
	{                                                                                      \
		return likely(is_fit && try_wait(semaphore)) ? 0 : contended_##name arguments; \
	}                                                                                      \
	DEFINE_WATCHED(name, parameters, arguments)

DEFINE_SEMAPHORE_WAIT(sem_wait, (sem_t * semaphore), (semaphore), true)
DEFINE_SEMAPHORE_WAIT(sem_timedwait, (sem_t * semaphore, const struct timespec *deadline),
		      (semaphore, deadline), interpose_lock_is_valid(deadline))
DEFINE_SEMAPHORE_WAIT(sem_clockwait, (sem_t * semaphore, clockid_t clock, const struct timespec *deadline),
		      (semaphore, clock, deadline),
		      interpose_lock_has_clock(clock) && interpose_lock_is_valid(deadline))

/* Whether anybody waits.  Relaxed: as has_waiters() of condition variables. */
static ALWAYS_INLINE bool has_waiters(const sem_t *semaphore)
{
	uint32_t word = wait_counts.semaphore_word;
	if (unlikely(word == WAIT_COUNTS_NONE))
		return contention_may_wake(semaphore);
	return __atomic_load_n((const uint32_t *)(const void *)semaphore + word, __ATOMIC_RELAXED) != 0;
}

DEFINE_WAKING(sem_post, CPROF_WAIT_SEMAPHORE, 1, semaphore, has_waiters(semaphore), (sem_t * semaphore),
	      (semaphore))
