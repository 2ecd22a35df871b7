/* SPDX-License-Identifier: MIT */
/*
 * The wait that a thread has published in its slot, as one moment.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_THREAD_PUBLISHED_H
#define COLLECTOR_THREAD_PUBLISHED_H

#include "cprof_shm.h"

#include <stdbool.h>

/* As in struct cprof_waiting; hostile but for `what`. */
struct thread_published {
	uint32_t what;  /* enum cprof_wait, not NONE */
	uint32_t stack; /* id, 0: not known */
	uint64_t object, since_ns, function, pc, sp, fp;
};

/* False: it is in no such wait, or is just writing. */
bool thread_published_read(const struct cprof_thread *slot, struct thread_published *out_wait);

#endif
