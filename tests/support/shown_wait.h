/* SPDX-License-Identifier: MIT */
/* Waits as the slots of a test's own segment show them. */
#ifndef TESTS_SHOWN_WAIT_H
#define TESTS_SHOWN_WAIT_H

#include <sched.h>

#include "cprof_shm.h"
#include "segment.h"

/* Whether some thread shows that it waits for this. */
static inline bool is_shown(enum cprof_wait what, const void *object)
{
	for (uint32_t i = 0; i < load_acquire(&segment_control()->threads_used); i++) {
		const struct cprof_waiting *waiting = &segment_thread(i)->waiting;
		if (load_acquire(&waiting->what) == (uint32_t)what &&
		    load_relaxed(&waiting->object) == (uint64_t)(uintptr_t)object)
			return true;
	}
	return false;
}

static inline void until_shown(enum cprof_wait what, const void *object)
{
	while (!is_shown(what, object))
		sched_yield();
}

#endif
