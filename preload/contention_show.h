/* SPDX-License-Identifier: MIT */
/*
 * How a slot's shown wait is written: the parts that short calls have inlined, in which each
 * line of memory counts.  What they mean is in contention_publish.h.
 *
 * Context: any (async-signal-safe), on the thread that owns the slot.
 */
#ifndef PRELOAD_CONTENTION_SHOW_H
#define PRELOAD_CONTENTION_SHOW_H

#include "contention_publish.h"
#include "cprof_atomic.h"
#include "cprof_compiler.h"
#include "thread_private.h"

static ALWAYS_INLINE bool contention_shows_nothing(const struct cprof_waiting *shown)
{
	return load_relaxed(&shown->what) == CPROF_WAIT_NONE; /* only this thread writes it */
}

/* By the code that this handler interrupted. */
static ALWAYS_INLINE bool contention_is_being_written(const struct cprof_waiting *shown)
{
	return load_relaxed(&shown->sequence) % 2 != 0; /* as above */
}

/* Whether a wait can be shown that interrupts no other. */
static ALWAYS_INLINE bool contention_may_show(const struct cprof_waiting *shown)
{
	return contention_shows_nothing(shown) && !contention_is_being_written(shown);
}

/* How many waits are behind the shown one; the program may have written over the number. */
static ALWAYS_INLINE uint32_t contention_outer_count(const struct thread_private *private)
{
	uint32_t count = private->outer_count;
	return count <= CONTENTION_OUTER_MAX ? count : 0;
}

/* What is written between these two is not read by others. */
static ALWAYS_INLINE void contention_write_begin(struct cprof_waiting *shown)
{
	store_relaxed(&shown->sequence, load_relaxed(&shown->sequence) + 1); /* only this thread writes it */
	fence_signal();
}

static ALWAYS_INLINE void contention_write_end(struct cprof_waiting *shown)
{
	store_release(&shown->sequence, load_relaxed(&shown->sequence) + 1); /* after all fields */
}

static ALWAYS_INLINE void contention_write_fields(struct cprof_waiting *shown,
						  const struct publication *publication)
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

static ALWAYS_INLINE void contention_show(struct cprof_waiting *shown, const struct publication *publication)
{
	contention_write_begin(shown);
	contention_write_fields(shown, publication);
	contention_write_end(shown);
}

/*
 * Takes the wait of this thread that began then away.  False: it is not shown, or not alone.  What
 * interrupts a wait begins later than that.
 */
static ALWAYS_INLINE bool contention_withdraw_only(struct cprof_thread *slot, uint64_t since_ns)
{
	struct cprof_waiting *shown = &slot->waiting;
	if (contention_shows_nothing(shown) ||
	    load_relaxed(&shown->since_ns) != since_ns || /* only this thread writes it */
	    thread_private_of(slot)->outer_count != 0)
		return false;
	/* The other fields mean nothing without it, and one store needs no sequence. */
	store_release(&shown->what, (uint32_t)CPROF_WAIT_NONE);
	return true;
}

#endif
