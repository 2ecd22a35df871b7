/* SPDX-License-Identifier: MIT */
/*
 * A small static arena for allocations that come while the next malloc is still being
 * looked up (dlsym itself allocates).  Its blocks are recognised by address and never
 * reused.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_BOOTSTRAP_H
#define PRELOAD_BOOTSTRAP_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed memory, aligned to `alignment` (a power of two), or NULL when the arena is used up. */
void *bootstrap_alloc(size_t alignment, size_t size);

/* Whether a block came from here. */
bool bootstrap_owns(const void *block);

/* The size asked for of a block that came from here. */
size_t bootstrap_size(const void *block);

#endif
