/* SPDX-License-Identifier: MIT */
/*
 * Sums by stack id, label id and kind of profile: the table in which a process's totals and live
 * blocks are added up.  A growing array with a hash index over it.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_STACK_SUMS_H
#define COLLECTOR_STACK_SUMS_H

#include "aggregate.h"

struct stack_sums_entry {
	uint32_t stack;
	uint32_t labels; /* id of the set */
	uint32_t kind;   /* enum profile_kind */
	struct aggregate_sums sums;
};

/* All zero is an empty table. */
struct stack_sums {
	struct stack_sums_entry *entries;
	uint32_t count;
	uint32_t capacity; /* of entries, 0 or a power of 2 */
	uint32_t *index;   /* 2 * capacity slots: position in entries + 1 */
};

/* A stack's sums for labels and a kind, made if missing.  Valid until the next call.  NULL: no memory. */
struct aggregate_sums *stack_sums_at(struct stack_sums *table, uint32_t stack, uint32_t labels,
				     enum profile_kind kind);

/* Adds figures to figures. */
void stack_sums_add(struct aggregate_sums *to, const struct aggregate_sums *from);

void stack_sums_free(struct stack_sums *table);

#endif
