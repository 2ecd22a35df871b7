/* SPDX-License-Identifier: MIT */
/*
 * Who wakes whom, for the trace.  A wake that nobody waits for costs one look and leaves no
 * event: condition variables and semaphores count those who wait for them; the futexes that
 * a program itself waits for are counted here, by address.  (Locks have a filter of their own,
 * lock_waiters.h.)
 *
 * A word of the filter counts the waits under way of all addresses that share it.  One
 * whose thread is cancelled or jumps away before it is shown (contention.c) stays counted:
 * then wakes are recorded that wake nobody.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_CONTENTION_WAKE_H
#define PRELOAD_CONTENTION_WAKE_H

#include "cprof_atomic.h"
#include "cprof_compiler.h"
#include "cprof_shm.h"
#include "thread.h"
#include "trace.h"
#include "unwind.h"

#define CONTENTION_WAKE_WORDS 2048u
extern atomic_u32 contention_wake_filter[CONTENTION_WAKE_WORDS] __attribute__((visibility("hidden")));

static ALWAYS_INLINE atomic_u32 *contention_wake_word(const void *object)
{
	uint64_t hash = (uint64_t)(uintptr_t)object * UINT64_C(0x9e3779b97f4a7c15);
	return &contention_wake_filter[hash >> 48 & (CONTENTION_WAKE_WORDS - 1)];
}

/* Whether a trace is taken in which somebody may be seen to wait for the object. */
static ALWAYS_INLINE bool contention_may_wake(const void *object)
{
	/* Relaxed: a waiter that comes at this moment is not one that is woken. */
	return trace_is_on() && load_relaxed(contention_wake_word(object)) != 0;
}

/* A wait for the object begins, and ends. */
void contention_wake_expect(const void *object);
void contention_wake_expect_no_more(const void *object);

/* CLOCK_MONOTONIC, to be taken before the waiters can go on; 0 where it must not be read. */
uint64_t contention_wake_time(void);

/* Some wake: what it is waited for, where, how many may go on (0: all), and when it came. */
struct contention_wake {
	enum cprof_wait what;
	uint32_t count;
	const void *object;
	uint64_t time_ns;
};

static ALWAYS_INLINE struct trace_event contention_wake_event(const struct contention_wake *wake,
							      uint32_t stack)
{
	return (struct trace_event){
		.kind = CPROF_EVENT_WAKE,
		.what = (uint32_t)wake->what,
		.stack = stack,
		.time_ns = wake->time_ns,
		.a = wake->count,
		.b = (uint64_t)(uintptr_t)wake->object,
	};
}

/* Leaves an event of it.  The first one under a guard, with the stack of the call that woke. */
void contention_wake_add(const struct guard *guard, const struct contention_wake *wake, uint32_t stack);
void contention_wake_record(const struct contention_wake *wake, const void *function,
			    const struct unwind_regs *regs);
/* As that, whatever the thread is at. */
void contention_wake_record_any(const struct contention_wake *wake, const void *function,
				const struct unwind_regs *regs);

/* In a forked child: those who waited are not here. */
void contention_wake_forget(void);

#endif
