/* SPDX-License-Identifier: MIT */
/*
 * Condition variables.  A wait gives its mutex up first, which is charged like an
 * unlock, at this function; that it gets it back is part of the wait.  Who sleeps for it
 * is looked at last: others come while the wait is walked.
 *
 * Those of POSIX but one are exported with a version, see exports.map.
 *
 * These are cancellation points: the thread may never come back from the real call.
 *
 * Context: as the real functions.
 */
#include "interpose_lock.h"
#include "wait_counts.h"

#define DEFINE_COND_WAIT(name, end_of, parameters, arguments)                                           \
	static NOINLINE int watched_##name parameters                                                   \
	{                                                                                               \
		struct contention_wait wait;                                                            \
		struct unwind_regs regs;                                                                \
		unwind_regs_of_caller(&regs);                                                           \
		contention_wait_begin(&wait, CPROF_WAIT_COND, cond, (const void *)(uintptr_t)real.name, \
				      &regs);                                                           \
		charge_mutex((const pthread_mutex_t *)(const void *)mutex,                              \
			     (const void *)(uintptr_t)real.name, &regs);                                \
		int result = real.name arguments;                                                       \
		contention_wait_end(&wait, end_of(result));                                             \
		return result;                                                                          \
	}                                                                                               \
	DEFINE_WATCHED(name, parameters, arguments)

static void charge_mutex(const pthread_mutex_t *mutex, const void *function, const struct unwind_regs *regs)
{
	struct contention_release release;
	if (likely(!contention_may_be_charged(mutex)) || !interpose_lock_is_last_unlock(mutex))
		return;
	contention_release_begin(&release, CPROF_WAIT_MUTEX, mutex, interpose_lock_has_sleeper(mutex));
	contention_release_end(&release, true, function, regs);
}

DEFINE_COND_WAIT(pthread_cond_wait, contention_end_of, (pthread_cond_t * cond, pthread_mutex_t *mutex),
		 (cond, mutex))
DEFINE_COND_WAIT(pthread_cond_timedwait, contention_end_of,
		 (pthread_cond_t * cond, pthread_mutex_t *mutex, const struct timespec *deadline),
		 (cond, mutex, deadline))
DEFINE_COND_WAIT(pthread_cond_clockwait, contention_end_of,
		 (pthread_cond_t * cond, pthread_mutex_t *mutex, clockid_t clock,
		  const struct timespec *deadline),
		 (cond, mutex, clock, deadline))
DEFINE_COND_WAIT(cnd_wait, interpose_lock_end_of_c11, (cnd_t * cond, mtx_t *mutex), (cond, mutex))
DEFINE_COND_WAIT(cnd_timedwait, interpose_lock_end_of_c11,
		 (cnd_t * cond, mtx_t *mutex, const struct timespec *deadline), (cond, mutex, deadline))

/* Whether anybody waits: what the real functions look at first. */
static ALWAYS_INLINE bool has_waiters(const void *cond)
{
	const int flag_bits = 3; /* below the count */
	uint32_t word = wait_counts.cond_word;
	if (unlikely(word == WAIT_COUNTS_NONE))
		return contention_may_wake(cond);
	/* Relaxed: a waiter that comes at this moment is not one that is woken. */
	return __atomic_load_n((const uint32_t *)cond + word, __ATOMIC_RELAXED) >> flag_bits != 0;
}

DEFINE_WAKING(pthread_cond_signal, CPROF_WAIT_COND, 1, cond, has_waiters(cond), (pthread_cond_t * cond),
	      (cond))
DEFINE_WAKING(pthread_cond_broadcast, CPROF_WAIT_COND, 0, cond, has_waiters(cond), (pthread_cond_t * cond),
	      (cond))
DEFINE_WAKING(cnd_signal, CPROF_WAIT_COND, 1, cond, has_waiters(cond), (cnd_t * cond), (cond))
DEFINE_WAKING(cnd_broadcast, CPROF_WAIT_COND, 0, cond, has_waiters(cond), (cnd_t * cond), (cond))
