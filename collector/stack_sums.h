/* SPDX-License-Identifier: MIT */
/*
 * Sums by stack id: the table in which a process's totals and live blocks are added
 * up.  A growing array with a hash index over it.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_STACK_SUMS_H
#define COLLECTOR_STACK_SUMS_H

#include "aggregate.h"

struct stack_sums_entry {
	uint32_t stack;
	struct aggregate_sums sums;
};

/* All zero is an empty table. */
struct stack_sums {
	struct stack_sums_entry *entries;
	uint32_t count;
	uint32_t capacity; /* of entries, 0 or a power of 2 */
	uint32_t *index;   /* 2 * capacity slots: position in entries + 1 */
};

/* The entry of a stack, made if missing.  Valid until the next call.  NULL: no memory. */
struct stack_sums_entry *stack_sums_at(struct stack_sums *table, uint32_t stack);

/* Adds figures to figures. */
void stack_sums_add(struct aggregate_sums *to, const struct aggregate_sums *from);

void stack_sums_free(struct stack_sums *table);

#endif
