/* SPDX-License-Identifier: MIT */
/*
 * Turns the first process's futex bell into something poll() can wait for: one
 * thread that sleeps on the futex and writes to an eventfd.  While the main thread
 * is at work for long (a library with a gigabyte of DWARF), the same thread keeps the
 * first process's heartbeat going, so that it does not give up waiting at its exit.
 *
 * Context: collector, main thread; the thread itself touches nothing else.
 */
#ifndef COLLECTOR_BELL_H
#define COLLECTOR_BELL_H

#include <pthread.h>

#include "cprof_shm.h"

struct bell {
	struct cprof_control *control; /* NULL: not listening */
	atomic_u32 is_stopping;
	atomic_u64 working_since_ns; /* monotonic; 0: the main thread is not at work */
	int event_fd;
	pthread_t thread;
};

/* Creates the eventfd (-1 if there is none; then nothing ever rings). */
void bell_init(struct bell *bell);

/* Listens to this process, whose control block stays mapped until bell_unlisten().  0 or -errno. */
int bell_listen(struct bell *bell, struct cprof_control *control);

/* Ends the thread.  Does nothing if there is none. */
void bell_unlisten(struct bell *bell);

/*
 * The main thread begins and ends something that may take long.  After a minute in one
 * piece of work it is taken for hung, and the heart stops.
 */
void bell_begin_work(struct bell *bell);
void bell_end_work(struct bell *bell);

/* The eventfd was readable: makes it quiet again. */
void bell_hear(struct bell *bell);

#endif
