/* SPDX-License-Identifier: MIT */
/*
 * What both ways of a wait do: the short one (contention_short.c), of waits that are in a trace and
 * in no profile, and that of all (contention.c).
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_CONTENTION_WAIT_H
#define PRELOAD_CONTENTION_WAIT_H

#include "contention.h"
#include "wait_counts.h"

/* The kinds whose release is interposed too. */
static ALWAYS_INLINE bool contention_is_lock(uint32_t what)
{
	return what == CPROF_WAIT_MUTEX || what == CPROF_WAIT_RWLOCK_READ ||
	       what == CPROF_WAIT_RWLOCK_WRITE || what == CPROF_WAIT_SPIN;
}

/* A call that may block, of which nobody tells who ends it. */
static ALWAYS_INLINE bool contention_is_call(uint32_t what)
{
	return what >= CPROF_WAIT_READ;
}

/* Whether nobody else counts who waits. */
static ALWAYS_INLINE bool contention_is_counted_by_address(uint32_t what)
{
	return what == CPROF_WAIT_FUTEX ||
	       (what == CPROF_WAIT_COND && wait_counts.cond_word == WAIT_COUNTS_NONE) ||
	       (what == CPROF_WAIT_SEMAPHORE && wait_counts.semaphore_word == WAIT_COUNTS_NONE);
}

/* So that who ends the wait sees it. */
static ALWAYS_INLINE void contention_expect_wake(uint32_t what, const void *object)
{
	if (contention_is_lock(what))
		lock_waiters_show(object);
	else if (contention_is_counted_by_address(what))
		contention_wake_expect(object);
}

static ALWAYS_INLINE void contention_expect_no_wake(uint32_t what, const void *object)
{
	if (contention_is_lock(what))
		lock_waiters_hide(object);
	else if (contention_is_counted_by_address(what))
		contention_wake_expect_no_more(object);
}

/* contention_wait_begin() and contention_wait_end(), of any wait. */
void contention_wait_begin_any(struct contention_wait *out_wait, enum cprof_wait what, const void *object,
			       const void *function, const struct unwind_regs *regs);
void contention_wait_end_any(struct contention_wait *wait, enum contention_end end);

#endif
