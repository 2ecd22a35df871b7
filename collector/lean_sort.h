/* SPDX-License-Identifier: MIT */
/*
 * Sorting large arrays with little memory: qsort() of this libc takes as much again as the
 * array has, this two words of 32 bits an item.
 *
 * Context: collector.
 */
#ifndef COLLECTOR_LEAN_SORT_H
#define COLLECTOR_LEAN_SORT_H

#include <stddef.h>

#define LEAN_SORT_ITEM_BYTES_MAX 64

/* As qsort(), of items up to that size whose order is told by `compare` alone: no two are equal.  0 or -ENOMEM. */
int lean_sort(void *items, size_t count, size_t item_bytes, int (*compare)(const void *, const void *));

#endif
