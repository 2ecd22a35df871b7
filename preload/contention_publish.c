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

#include "cprof_compiler.h"
#include "thread.h"
#include "thread_private.h"

/* How many waits are behind the shown one; the program may have written over the number. */
static uint32_t outer_count_of(const struct thread_private *private)
{
	uint32_t count = private->outer_count;
	return count <= CONTENTION_OUTER_MAX ? count : 0;
}

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

/* What is written between these two is not read by others. */
static void write_begin(struct cprof_waiting *shown)
{
	store_relaxed(&shown->sequence, load_relaxed(&shown->sequence) + 1); /* only this thread writes it */
	fence_signal();
}

static void write_end(struct cprof_waiting *shown)
{
	store_release(&shown->sequence, load_relaxed(&shown->sequence) + 1); /* after all fields */
}

static void show(struct cprof_waiting *shown, const struct publication *publication)
{
	/* Release, each: a reader that sees the new field sees the odd sequence. */
	store_release(&shown->what, publication->what);
	store_release(&shown->stack, publication->stack);
	store_release(&shown->object, publication->object);
	store_release(&shown->since_ns, publication->since_ns);
	store_release(&shown->function, publication->function);
	store_release(&shown->pc, publication->pc);
	store_release(&shown->sp, publication->sp);
	store_release(&shown->fp, publication->fp);
}

static bool is_being_written(const struct cprof_waiting *shown)
{
	return load_relaxed(&shown->sequence) % 2 != 0; /* by the code that this handler interrupted */
}

static bool shows_nothing(const struct cprof_waiting *shown)
{
	return load_relaxed(&shown->what) == CPROF_WAIT_NONE; /* as in read_shown() */
}

bool contention_publish(struct cprof_thread *slot, const struct publication *publication)
{
	struct cprof_waiting *shown = &slot->waiting;
	struct thread_private *private = thread_private_of(slot);
	if (unlikely(is_being_written(shown)))
		return false;
	bool interrupts = !shows_nothing(shown);
	uint32_t count = interrupts ? outer_count_of(private) : 0;
	if (unlikely(count >= CONTENTION_OUTER_MAX))
		return false;
	write_begin(shown);
	if (unlikely(interrupts)) {
		read_shown(shown, &private->outer[count]);
		private->outer_count = count + 1;
	}
	show(shown, publication);
	write_end(shown);
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
	if (likely(shows_nothing(shown)) || is_being_written(shown) ||
	    !thread_has_left(load_relaxed(&shown->sp), sp, bounds)) /* as in read_shown() */
		return false;
	return contention_withdraw(slot, out_stale);
}

bool contention_is_shown(struct cprof_thread *slot, uint64_t since_ns, uint64_t sp)
{
	const struct cprof_waiting *shown = &slot->waiting;
	const struct thread_private *private = thread_private_of(slot);
	if (shows_nothing(shown))
		return false;
	if (likely(load_relaxed(&shown->since_ns) == since_ns && load_relaxed(&shown->sp) == sp))
		return true;
	uint32_t count = outer_count_of(private);
	for (uint32_t i = 0; i < count; i++)
		if (private->outer[i].since_ns == since_ns && private->outer[i].sp == sp)
			return true;
	return false;
}

bool contention_withdraw(struct cprof_thread *slot, struct publication *out_publication)
{
	struct cprof_waiting *shown = &slot->waiting;
	struct thread_private *private = thread_private_of(slot);
	if (shows_nothing(shown))
		return false;
	read_shown(shown, out_publication);
	uint32_t count = outer_count_of(private);
	if (likely(count == 0)) {
		/* The other fields mean nothing without it, and one store needs no sequence. */
		store_release(&shown->what, (uint32_t)CPROF_WAIT_NONE);
		return true;
	}
	private->outer_count = count - 1;
	write_begin(shown);
	show(shown, &private->outer[count - 1]);
	write_end(shown);
	return true;
}

bool contention_withdraw_only(struct cprof_thread *slot, uint64_t since_ns, uint64_t sp)
{
	struct cprof_waiting *shown = &slot->waiting;
	/* Relaxed: as in read_shown(). */
	if (shows_nothing(shown) || load_relaxed(&shown->since_ns) != since_ns ||
	    load_relaxed(&shown->sp) != sp || outer_count_of(thread_private_of(slot)) != 0)
		return false;
	store_release(&shown->what, (uint32_t)CPROF_WAIT_NONE); /* as in contention_withdraw() */
	return true;
}

void contention_mend(struct cprof_thread *slot)
{
	struct publication torn;
	if (!is_being_written(&slot->waiting))
		return;
	write_end(&slot->waiting);
	(void)contention_withdraw(slot, &torn);
}

void contention_show_nothing(struct cprof_thread *slot)
{
	store_release(&slot->waiting.what, (uint32_t)CPROF_WAIT_NONE);
	thread_private_of(slot)->outer_count = 0;
}
