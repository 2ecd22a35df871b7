/* SPDX-License-Identifier: MIT */
/*
 * Calls of the C library that may block (CPROF_WAIT_READ and on).  Most do not: a server makes
 * them by the hundred thousand a second.  So both ends have a short way, which looks at
 * the processor's counter and shows the wait, and needs no guard for that.  Whatever is
 * unusual, and each call that takes long enough to leave an event, goes the way of all waits.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_CONTENTION_CALL_H
#define PRELOAD_CONTENTION_CALL_H

#include "contention.h"

/* A call under way, on the stack of who makes it. */
struct contention_call {
	struct cprof_thread *slot; /* that shows it; NULL: `wait` has begun, and nothing else is set */
	uint64_t start_ns;
	uint64_t start_ticks;  /* 0: not known */
	const uint64_t *frame; /* of the function that was called */
	enum cprof_wait what;
	const void *object;
	uint32_t image;
	const void *function;
	struct contention_wait wait; /* of what went the other way from its begin on */
	struct unwind_regs regs;
};

/* As contention_wait_begin(); `frame`: of the interposed function, which keeps a frame pointer. */
void contention_call_begin(struct contention_call *out_call, enum cprof_wait what, const void *object,
			   const void *function, const uint64_t *frame);
void contention_call_end(struct contention_call *call, enum contention_end end);

#endif
