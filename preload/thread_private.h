/* SPDX-License-Identifier: MIT */
/*
 * What a thread keeps in the private words of its slot, once it is attached.
 *
 * Context: any (async-signal-safe), on the thread that owns the slot.
 */
#ifndef PRELOAD_THREAD_PRIVATE_H
#define PRELOAD_THREAD_PRIVATE_H

#include "contention_publish.h"
#include "cprof_shm.h"

struct thread_private {
	uint64_t holders[CPROF_SCRATCH_LEVELS]; /* where the guard of each level lies, or lay */
	uint32_t outer_count;
	struct publication outer[CONTENTION_OUTER_MAX]; /* waits that handlers' waits interrupted */
};
_Static_assert(sizeof(struct thread_private) <= sizeof(((struct cprof_thread *)0)->private_words),
	       "fits the slot");

static inline struct thread_private *thread_private_of(struct cprof_thread *slot)
{
	return (struct thread_private *)(void *)slot->private_words;
}

#endif
