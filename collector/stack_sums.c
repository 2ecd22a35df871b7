/* SPDX-License-Identifier: MIT */
/*
 * Open addressing at a load of at most one half.  Stack ids are offsets and so far
 * from random: they are mixed first.
 *
 * Context: collector, main thread.
 */
#include "stack_sums.h"

#include <stdlib.h>

static uint32_t *slot_of(const struct stack_sums *table, uint32_t stack)
{
	uint32_t mask = 2 * table->capacity - 1;
	uint32_t at = (uint32_t)cprof_mix64(stack) & mask;
	while (table->index[at] && table->entries[table->index[at] - 1].stack != stack)
		at = (at + 1) & mask;
	return &table->index[at];
}

static bool grow(struct stack_sums *table)
{
	uint32_t capacity = table->capacity ? table->capacity * 2 : 256;
	if (capacity > UINT32_C(1) << 30)
		return false;
	struct stack_sums_entry *entries = realloc(table->entries, (size_t)capacity * sizeof *entries);
	if (!entries)
		return false;
	table->entries = entries; /* still valid for the old capacity */
	uint32_t *index = calloc((size_t)capacity * 2, sizeof *index);
	if (!index)
		return false;
	free(table->index);
	table->index = index;
	table->capacity = capacity;
	for (uint32_t i = 0; i < table->count; i++)
		*slot_of(table, entries[i].stack) = i + 1;
	return true;
}

struct stack_sums_entry *stack_sums_at(struct stack_sums *table, uint32_t stack)
{
	if (table->count == table->capacity && !grow(table))
		return NULL;
	uint32_t *slot = slot_of(table, stack);
	if (!*slot) {
		table->entries[table->count] = (struct stack_sums_entry){.stack = stack};
		*slot = ++table->count;
	}
	return &table->entries[*slot - 1];
}

void stack_sums_add(struct aggregate_sums *to, const struct aggregate_sums *from)
{
	to->cpu_weight += from->cpu_weight;
	to->cpu_ns += from->cpu_ns;
	to->alloc_weight += from->alloc_weight;
	to->alloc_bytes += from->alloc_bytes;
	to->live_weight += from->live_weight;
	to->live_bytes += from->live_bytes;
}

void stack_sums_free(struct stack_sums *table)
{
	free(table->entries);
	free(table->index);
	*table = (struct stack_sums){0};
}
