/* SPDX-License-Identifier: MIT */
/* Waits as the slots of a test's own segment show them. */
#ifndef TESTS_SHOWN_WAIT_H
#define TESTS_SHOWN_WAIT_H

#include <sched.h>

#include "cprof_shm.h"
#include "segment.h"

/* How many threads show that they wait for this. */
static inline uint32_t shown_count(enum cprof_wait what, const void *object)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < load_acquire(&segment_control()->threads_used); i++) {
		const struct cprof_waiting *waiting = &segment_thread(i)->waiting;
		count += load_acquire(&waiting->what) == (uint32_t)what &&
			 load_relaxed(&waiting->object) == (uint64_t)(uintptr_t)object;
	}
	return count;
}

static inline bool is_shown(enum cprof_wait what, const void *object)
{
	return shown_count(what, object) != 0;
}

static inline void until_shown(enum cprof_wait what, const void *object)
{
	while (!is_shown(what, object))
		sched_yield();
}

#endif
