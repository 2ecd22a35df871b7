/* SPDX-License-Identifier: MIT */
/*
 * What a program says about itself by include/cprof.h: tasks, regions, messages.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_ANNOTATE_H
#define PRELOAD_ANNOTATE_H

#include "cprof_shm.h"

/* The slot gets a new thread: it is part of no task and in no region. */
void annotate_thread_begins(struct cprof_thread *slot);

#endif
