/* SPDX-License-Identifier: MIT */
/*
 * What each thread of a dump waits for, who holds it, and who waits for whom in a
 * circle.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_THREAD_WAITS_H
#define COLLECTOR_THREAD_WAITS_H

#include "dump_modules.h"
#include "thread_reader.h"

#define THREAD_NOBODY UINT32_MAX

struct thread_wait {
	enum cprof_wait what; /* NONE: nothing of this kind */
	uint64_t object;      /* its address; 0: not known */
	uint32_t holder_tid;  /* as the process sees it; 0: nobody, or not known */
	uint32_t holder;      /* index of the holder's reading, or THREAD_NOBODY */
	uint32_t cycle;       /* number of the circle that it is part of, from 1; 0: none */
};

/*
 * Finds out for all readings; out_waits has room for as many.  A circle is reported
 * only if nobody in it has run since it was read.  Returns the number of circles.
 */
uint32_t thread_waits_find(pid_t pid, const struct thread_readings *readings,
			   const struct dump_modules *modules, struct thread_wait *out_waits);

/* "mutex", "condition variable" and so on. */
const char *thread_waits_name(enum cprof_wait what);

/* The wait that a function of the C library stands for, NONE if none; leading underscores are ignored. */
enum cprof_wait thread_waits_of_function(const char *name);

#endif
