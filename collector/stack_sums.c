/* SPDX-License-Identifier: MIT */
/*
 * Open addressing at a load of at most one half.  Stack ids are offsets and so far
 * from random: they are mixed first.
 *
 * Context: collector, main thread.
 */
#include "stack_sums.h"

#include <stdlib.h>

static bool is_entry(const struct stack_sums_entry *entry, uint32_t stack, uint32_t labels, uint32_t kind)
{
	return entry->stack == stack && entry->labels == labels && entry->kind == kind;
}

static uint32_t *slot_of(const struct stack_sums *table, uint32_t stack, uint32_t labels, uint32_t kind)
{
	uint32_t mask = 2 * table->capacity - 1;
	uint64_t key = cprof_total_key(stack, kind, labels); /* label ids have 24 bits */
	uint32_t at = (uint32_t)cprof_mix64(key) & mask;
	while (table->index[at] && !is_entry(&table->entries[table->index[at] - 1], stack, labels, kind))
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
		*slot_of(table, entries[i].stack, entries[i].labels, entries[i].kind) = i + 1;
	return true;
}

struct aggregate_sums *stack_sums_at(struct stack_sums *table, uint32_t stack, uint32_t labels,
				     enum profile_kind kind)
{
	if (table->count == table->capacity && !grow(table))
		return NULL;
	uint32_t *slot = slot_of(table, stack, labels, kind);
	if (!*slot) {
		table->entries[table->count] =
			(struct stack_sums_entry){.stack = stack, .labels = labels, .kind = kind};
		*slot = ++table->count;
	}
	return &table->entries[*slot - 1].sums;
}

void stack_sums_add(struct aggregate_sums *to, const struct aggregate_sums *from)
{
	to->weight += from->weight;
	to->value += from->value;
	to->live_weight += from->live_weight;
	to->live_value += from->live_value;
}

void stack_sums_free(struct stack_sums *table)
{
	free(table->entries);
	free(table->index);
	*table = (struct stack_sums){0};
}
