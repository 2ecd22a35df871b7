/* SPDX-License-Identifier: MIT */
/*
 * Spin locks: those that had to spin.
 *
 * Context: any (async-signal-safe beyond what the real functions are).
 */
#include "interpose_lock.h"

DEFINE_CONTENDED(pthread_spin_lock, CPROF_WAIT_SPIN, lock, contention_end_of, (pthread_spinlock_t * lock),
		 (lock))
DEFINE_CHARGED(pthread_spin_unlock, CPROF_WAIT_SPIN, (pthread_spinlock_t * lock), (lock), lock, true, true)

static NOINLINE int watched_pthread_spin_lock(pthread_spinlock_t *lock)
{
	return likely(real.pthread_spin_trylock(lock) == 0) ? 0 : contended_pthread_spin_lock(lock);
}

static NOINLINE int watched_pthread_spin_unlock(pthread_spinlock_t *lock)
{
	if (likely(!contention_may_be_charged((const void *)(uintptr_t)lock)))
		return real.pthread_spin_unlock(lock);
	return charged_pthread_spin_unlock(lock);
}

DEFINE_WATCHED(pthread_spin_lock, (pthread_spinlock_t * lock), (lock))
DEFINE_WATCHED(pthread_spin_unlock, (pthread_spinlock_t * lock), (lock))
