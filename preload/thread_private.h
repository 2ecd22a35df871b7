/* SPDX-License-Identifier: MIT */
/*
 * What a thread keeps in the private words of its slot, once it is attached.
 *
 * Context: any (async-signal-safe), on the thread that owns the slot.
 */
#ifndef PRELOAD_THREAD_PRIVATE_H
#define PRELOAD_THREAD_PRIVATE_H

#include <stddef.h>

#include "contention_publish.h"
#include "cprof_shm.h"
#include "tick_clock.h"

/* Its chunks of the trace, one for each nesting level. */
struct thread_trace {
	uint64_t claims[CPROF_SCRATCH_LEVELS]; /* 0: none; noted before the chunk is claimed */
	struct cprof_trace_chunk *chunks[CPROF_SCRATCH_LEVELS]; /* that are written to, or NULL */
	uint32_t rest;                      /* events to be dropped without a look for a chunk */
	uint8_t used[CPROF_SCRATCH_LEVELS]; /* of the chunks, as these say: they lie in lines of their own */
};

struct thread_private {
	/* One line: what is looked at by each guard, and by calls that do not wait. */
	uint64_t holders[CPROF_SCRATCH_LEVELS]; /* where the guard of each level lies, or lay */
	struct tick_moment moment;
	uint32_t image;       /* the process, by pid */
	uint32_t outer_count; /* waits that handlers' waits interrupted */
	/* Another line: what waits and wakes need for their events. */
	struct thread_trace trace; /* outlives the thread, for whoever gets the slot next */
	uint64_t task;             /* id of the current one, 0: none */
	uint32_t regions;          /* that the thread is in */
	struct publication outer[CONTENTION_OUTER_MAX];
};
_Static_assert(sizeof(struct thread_private) <= sizeof(((struct cprof_thread *)0)->private_words),
	       "fits the slot");
_Static_assert(offsetof(struct thread_private, trace) == 64 &&
		       offsetof(struct thread_private, regions) == 128,
	       "two lines");

static inline struct thread_private *thread_private_of(struct cprof_thread *slot)
{
	return (struct thread_private *)(void *)slot->private_words;
}

#endif
