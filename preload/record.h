/* SPDX-License-Identifier: MIT */
/*
 * From an event to the segment: unwind, intern, and add to the thread's ring or,
 * when that is full, to the totals.
 *
 * Context: any (async-signal-safe), under a guard.
 */
#ifndef PRELOAD_RECORD_H
#define PRELOAD_RECORD_H

#include "thread.h"

/* What this may need of the stack, a cold rule and a new module included. */
#define RECORD_STACK_BYTES 2560

/*
 * Unwinds and interns.  0 (counted): the event is kept without a stack, as when there is no
 * room for the unwinding itself in the thread's own.
 */
uint32_t record_stack(const struct guard *guard, const struct unwind_regs *regs);

/* The same where stacks are expected to come back, see stack_memo.h.  `regs` are a caller's. */
uint32_t record_stack_again(const struct guard *guard, const struct unwind_regs *regs);

/* That and record_add() in one. */
uint32_t record_again(const struct guard *guard, const struct unwind_regs *regs, enum cprof_kind kind,
		      uint64_t weight, uint64_t value);

/*
 * The same for a stack whose leaf is `function`, which was called with `regs` as its
 * caller's registers: the frame is the function's entry.  Those that come back are found again, too.
 */
uint32_t record_stack_above(const struct guard *guard, const void *function, const struct unwind_regs *regs);

/* Adds an event to what is counted for (stack, kind, labels).  Never waits; what is lost is counted. */
void record_add_labelled(const struct guard *guard, uint32_t stack, enum cprof_kind kind, uint32_t labels,
			 uint64_t weight, uint64_t value);

/* The same with the labels that are in force on this thread. */
static inline void record_add(const struct guard *guard, uint32_t stack, enum cprof_kind kind,
			      uint64_t weight, uint64_t value)
{
	record_add_labelled(guard, stack, kind, thread_tls.labels, weight, value);
}

#endif
