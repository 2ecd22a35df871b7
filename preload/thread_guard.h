/* SPDX-License-Identifier: MIT */
/*
 * guard_enter() in parts, where nothing is unusual: the thread has its slot and is in no other
 * recording.  Short paths have them inlined, and make no guard before they need one.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_THREAD_GUARD_H
#define PRELOAD_THREAD_GUARD_H

#include "cprof_compiler.h"
#include "process.h"
#include "thread.h"
#include "thread_private.h"

/* Takes a level that nobody has; what holds it lies at `here`. */
static ALWAYS_INLINE void guard_hold_level(struct cprof_thread *slot, uint32_t level, uint64_t here)
{
	uint64_t *holder = &thread_private_of(slot)->holders[level];
	/* Twice: a handler in between finds this one; of one before that, what it wrote goes. */
	*holder = here;
	fence_signal();
	thread_tls.nesting = (uint8_t)(level + 1);
	fence_signal(); /* a handler from here on must use the next level */
	*holder = here;
}

/* The guard of a level that is taken. */
static ALWAYS_INLINE void guard_fill(struct guard *out_guard, struct cprof_thread *slot, uint32_t level)
{
	out_guard->slot = slot;
	out_guard->bounds = thread_tls.bounds;
	out_guard->pool_index = -1;
	out_guard->level = level;
	out_guard->frames = slot->scratch[level].frames;
}

/* Whether this thread, whose slot it is, may take the outermost level. */
static ALWAYS_INLINE bool guard_is_free(const struct cprof_thread *slot)
{
	return slot && thread_tls.nesting == 0 && process_is_recording();
}

/* Takes it for the function that this is inlined into; what needs a guard gets it by guard_fill(). */
static ALWAYS_INLINE void guard_hold_outermost(struct cprof_thread *slot)
{
	guard_hold_level(slot, 0, (uint64_t)(uintptr_t)__builtin_frame_address(0));
}

static ALWAYS_INLINE void guard_release_outermost(void)
{
	fence_signal(); /* the scratch is free before the level is */
	thread_tls.nesting = 0;
}

#endif
