/* SPDX-License-Identifier: MIT */
/*
 * The reader's side of the sequence lock in struct cprof_waiting.
 *
 * Context: collector, main thread; see thread_published.h.
 */
#include "thread_published.h"

bool thread_published_read(const struct cprof_thread *slot, struct thread_published *out_wait)
{
	const struct cprof_waiting *waiting = &slot->waiting;
	/* Acquire: pairs with the writer's release of an even number. */
	uint32_t before = load_acquire(&waiting->sequence);
	if (before % 2)
		return false;
	/* Acquire, each: the sequence below is not loaded before them. */
	struct thread_published wait = {
		.what = load_acquire(&waiting->what),
		.stack = load_acquire(&waiting->stack),
		.object = load_acquire(&waiting->object),
		.since_ns = load_acquire(&waiting->since_ns),
		.function = load_acquire(&waiting->function),
		.pc = load_acquire(&waiting->pc),
		.sp = load_acquire(&waiting->sp),
		.fp = load_acquire(&waiting->fp),
	};
	if (load_relaxed(&waiting->sequence) != before || wait.what == CPROF_WAIT_NONE ||
	    wait.what >= CPROF_WAIT_COUNT)
		return false;
	*out_wait = wait;
	return true;
}
