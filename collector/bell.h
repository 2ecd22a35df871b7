/* SPDX-License-Identifier: MIT */
/*
 * Turns the first process's futex bell into something poll() can wait for: one
 * thread that sleeps on the futex and writes to an eventfd.
 *
 * Context: collector, main thread; the thread itself touches nothing else.
 */
#ifndef COLLECTOR_BELL_H
#define COLLECTOR_BELL_H

#include <pthread.h>

#include "cprof_atomic.h"

struct bell {
	atomic_u32 *word; /* NULL: not listening */
	atomic_u32 is_stopping;
	int event_fd;
	pthread_t thread;
};

/* Creates the eventfd (-1 if there is none; then nothing ever rings). */
void bell_init(struct bell *bell);

/* Listens to `word`, which stays mapped until bell_unlisten().  0 or -errno. */
int bell_listen(struct bell *bell, atomic_u32 *word);

/* Ends the thread.  Does nothing if there is none. */
void bell_unlisten(struct bell *bell);

/* The eventfd was readable: makes it quiet again. */
void bell_hear(struct bell *bell);

#endif
