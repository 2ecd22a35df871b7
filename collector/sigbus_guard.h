/* SPDX-License-Identifier: MIT */
/*
 * Survives SIGBUS on shared mappings: a segment's file may be shortened by its
 * owner, and a page of a memfd may find no memory.  The page is then replaced by a
 * private zero page and the mapping is marked, so that code reading it goes on,
 * with nonsense it validates anyway, and its caller can ask.
 *
 * Context: collector; the handler is async-signal-safe and may run on any thread.
 */
#ifndef COLLECTOR_SIGBUS_GUARD_H
#define COLLECTOR_SIGBUS_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* Installs the handler on first use.  Returns a handle for the range, or -errno. */
int sigbus_guard_add(void *start, size_t size);

/* The range is about to be unmapped.  Main thread only, like sigbus_guard_add(). */
void sigbus_guard_remove(int handle);

/* Whether a page of the range was replaced. */
bool sigbus_guard_was_hit(int handle);

#endif
