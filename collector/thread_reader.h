/* SPDX-License-Identifier: MIT */
/*
 * Reads what every thread of a process is doing, in a child process of its own: the
 * unwinder trusts the tables that it finds in the other's memory, so tables that were
 * overwritten may crash it or make it run in circles.  The child leaves one reading
 * after the other in memory that it shares with us; when it dies it costs the thread
 * that it was at, and the next child goes on behind it.  Whatever it has stopped goes
 * on when it ends.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_THREAD_READER_H
#define COLLECTOR_THREAD_READER_H

#include "remote_objects.h"
#include "segment_reader.h"
#include "thread_reading.h"

/* All threads of a process. */
struct thread_readings {
	struct thread_reading *items; /* sorted by tid; shared memory */
	size_t count;
	size_t crashes; /* readers that died at their work */
	bool is_late;   /* there was no time for all of them */
};

/*
 * Reads all threads of the process `pid`; `segment` may be NULL.  `tick` as in
 * thread_dump_take().  0, -ESRCH, -ENOMEM, or why no process could be made.
 */
int thread_reader_run(pid_t pid, const struct remote_objects *objects, const struct segment_reader *segment,
		      void (*tick)(void *), void *tick_arg, struct thread_readings *out_readings);

void thread_reader_free(struct thread_readings *readings);

#endif
