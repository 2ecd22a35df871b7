/* SPDX-License-Identifier: MIT */
/*
 * The writer's side of the sequence lock.  A handler that interrupts the writer finds
 * the sequence odd and shows nothing of its own waits.
 *
 * A wait that a handler's wait interrupted has its caller's frame above that, or on another
 * stack.  One that was left has not: see thread_has_left().  One that was left deeper in the
 * stack than the next wait is found by a later one, or by the end of one around it.  It may
 * be wrong where a program changes stacks in handlers; so a wait that ends looks whether it
 * was taken for one that was left.
 *
 * Context: any (async-signal-safe).
 */
#include "contention_publish.h"

#include <stddef.h>

#include "contention_show.h"
#include "cprof_compiler.h"
#include "thread.h"
#include "thread_private.h"

static void read_shown(const struct cprof_waiting *shown, struct publication *out_publication)
{
	/* Relaxed: only this thread writes them. */
	out_publication->what = load_relaxed(&shown->what);
	out_publication->stack = load_relaxed(&shown->stack);
	out_publication->object = load_relaxed(&shown->object);
	out_publication->since_ns = load_relaxed(&shown->since_ns);
	out_publication->function = load_relaxed(&shown->function);
	out_publication->pc = load_relaxed(&shown->pc);
	out_publication->sp = load_relaxed(&shown->sp);
	out_publication->fp = load_relaxed(&shown->fp);
}

bool contention_publish(struct cprof_thread *slot, const struct publication *publication)
{
	struct cprof_waiting *shown = &slot->waiting;
	struct thread_private *private = thread_private_of(slot);
	if (unlikely(contention_is_being_written(shown)))
		return false;
	bool interrupts = !contention_shows_nothing(shown);
	uint32_t count = interrupts ? contention_outer_count(private) : 0;
	if (unlikely(count >= CONTENTION_OUTER_MAX))
		return false;
	contention_write_begin(shown);
	if (unlikely(interrupts)) {
		read_shown(shown, &private->outer[count]);
		private->outer_count = count + 1;
	}
	contention_write_fields(shown, publication);
	contention_write_end(shown);
	return true;
}

void contention_publish_stack(struct cprof_thread *slot, uint32_t stack)
{
	/* Relaxed: a reader that misses it sees 0; waits of handlers put back what they found. */
	store_relaxed(&slot->waiting.stack, stack);
}

bool contention_take_stale(struct cprof_thread *slot, uint64_t sp, const struct unwind_bounds *bounds,
			   struct publication *out_stale)
{
	const struct cprof_waiting *shown = &slot->waiting;
	if (likely(contention_shows_nothing(shown)) || contention_is_being_written(shown) ||
	    !thread_has_left(load_relaxed(&shown->sp), sp, bounds)) /* as in read_shown() */
		return false;
	return contention_withdraw(slot, out_stale);
}

bool contention_is_shown(struct cprof_thread *slot, uint64_t since_ns, uint64_t sp)
{
	const struct cprof_waiting *shown = &slot->waiting;
	const struct thread_private *private = thread_private_of(slot);
	if (contention_shows_nothing(shown))
		return false;
	if (likely(load_relaxed(&shown->since_ns) == since_ns && load_relaxed(&shown->sp) == sp))
		return true;
	uint32_t count = contention_outer_count(private);
	for (uint32_t i = 0; i < count; i++)
		if (private->outer[i].since_ns == since_ns && private->outer[i].sp == sp)
			return true;
	return false;
}

bool contention_withdraw(struct cprof_thread *slot, struct publication *out_publication)
{
	struct cprof_waiting *shown = &slot->waiting;
	struct thread_private *private = thread_private_of(slot);
	if (contention_shows_nothing(shown))
		return false;
	read_shown(shown, out_publication);
	uint32_t count = contention_outer_count(private);
	if (likely(count == 0)) {
		/* The other fields mean nothing without it, and one store needs no sequence. */
		store_release(&shown->what, (uint32_t)CPROF_WAIT_NONE);
		return true;
	}
	/* All in one: a handler's wait in between would be put behind it once more. */
	contention_write_begin(shown);
	private->outer_count = count - 1;
	contention_write_fields(shown, &private->outer[count - 1]);
	contention_write_end(shown);
	return true;
}

void contention_mend(struct cprof_thread *slot)
{
	struct publication torn;
	if (!contention_is_being_written(&slot->waiting))
		return;
	contention_write_end(&slot->waiting);
	(void)contention_withdraw(slot, &torn);
}

void contention_show_nothing(struct cprof_thread *slot)
{
	/* Its last thread may have ended in the middle. */
	if (unlikely(contention_is_being_written(&slot->waiting)))
		contention_write_end(&slot->waiting);
	store_release(&slot->waiting.what, (uint32_t)CPROF_WAIT_NONE);
	thread_private_of(slot)->outer_count = 0;
}
