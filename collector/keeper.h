/* SPDX-License-Identifier: MIT */
/*
 * A connection that the worker has accepted is the worker's alone until the supervisor has
 * its copy, and who registered by it may be gone: a worker that dies in between would take
 * the process's data with it.  The keeper is a process that shares the worker's descriptors.
 * It does nothing while the worker lives; then it hands on what nobody else has, and
 * ends.
 *
 * Context: collector.
 */
#ifndef COLLECTOR_KEEPER_H
#define COLLECTOR_KEEPER_H

#include <stdbool.h>

/*
 * Called by a worker's main thread, before there are others and before it accepts anybody.  Without
 * one, which is no error, that gap is open.
 */
void keeper_start(int link_fd);

/* Whether there is one. */
bool keeper_is_there(void);

/* At the worker's end, when nobody is at the door any more. */
void keeper_stop(void);

#endif
