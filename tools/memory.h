/* SPDX-License-Identifier: MIT */
/*
 * Memory for a command that runs once: without it there is nothing better to do than
 * to say so and end.
 *
 * Context: command line.
 */
#ifndef TOOLS_MEMORY_H
#define TOOLS_MEMORY_H

#include <stddef.h>

/* What an allocation returned, or the end of the command. */
void *allocated(void *p);

/* Makes room for one more element; returns the (moved) array. */
void *grown(void *array, size_t count, size_t *capacity, size_t element_bytes);

#endif
