/* SPDX-License-Identifier: MIT */
/*
 * Read-write locks.  Each release is charged with what accrued since the one before
 * it, also that of a reader while others still read.  The timed functions look at their
 * arguments before they try: what they would refuse is left to them.
 *
 * Context: any (async-signal-safe beyond what the real functions are).
 */
#include "interpose_lock.h"

#define DEFINE_RWLOCK(name, what, try, parameters, arguments, is_fit)                 \
	DEFINE_CONTENDED(name, what, lock, contention_end_of, parameters, arguments)  \
	static NOINLINE int watched_##name parameters                                 \
	{                                                                             \
		int result = is_fit ? real.try(lock) : EBUSY;                         \
		return likely(result != EBUSY) ? result : contended_##name arguments; \
	}                                                                             \
	DEFINE_WATCHED(name, parameters, arguments)

DEFINE_RWLOCK(pthread_rwlock_rdlock, CPROF_WAIT_RWLOCK_READ, pthread_rwlock_tryrdlock,
	      (pthread_rwlock_t * lock), (lock), true)
DEFINE_RWLOCK(pthread_rwlock_wrlock, CPROF_WAIT_RWLOCK_WRITE, pthread_rwlock_trywrlock,
	      (pthread_rwlock_t * lock), (lock), true)
DEFINE_RWLOCK(pthread_rwlock_timedrdlock, CPROF_WAIT_RWLOCK_READ, pthread_rwlock_tryrdlock,
	      (pthread_rwlock_t * lock, const struct timespec *deadline), (lock, deadline),
	      interpose_lock_is_valid(deadline))
DEFINE_RWLOCK(pthread_rwlock_timedwrlock, CPROF_WAIT_RWLOCK_WRITE, pthread_rwlock_trywrlock,
	      (pthread_rwlock_t * lock, const struct timespec *deadline), (lock, deadline),
	      interpose_lock_is_valid(deadline))
DEFINE_RWLOCK(pthread_rwlock_clockrdlock, CPROF_WAIT_RWLOCK_READ, pthread_rwlock_tryrdlock,
	      (pthread_rwlock_t * lock, clockid_t clock, const struct timespec *deadline),
	      (lock, clock, deadline), interpose_lock_has_clock(clock) && interpose_lock_is_valid(deadline))
DEFINE_RWLOCK(pthread_rwlock_clockwrlock, CPROF_WAIT_RWLOCK_WRITE, pthread_rwlock_trywrlock,
	      (pthread_rwlock_t * lock, clockid_t clock, const struct timespec *deadline),
	      (lock, clock, deadline), interpose_lock_has_clock(clock) && interpose_lock_is_valid(deadline))

DEFINE_CHARGED(pthread_rwlock_unlock, CPROF_WAIT_RWLOCK_WRITE, (pthread_rwlock_t * lock), (lock), lock, true,
	       true)

static NOINLINE int watched_pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
	if (likely(!contention_may_be_charged(lock)))
		return real.pthread_rwlock_unlock(lock);
	return charged_pthread_rwlock_unlock(lock);
}

DEFINE_WATCHED(pthread_rwlock_unlock, (pthread_rwlock_t * lock), (lock))
