/* SPDX-License-Identifier: MIT */
/*
 * Sealing sweeps over the ranges in the order of their starts and keeps those that
 * cover the current address in a heap, the winner on top.  Each range that comes up
 * closes at most the piece before it, each that ends reopens at most one: the result
 * has at most twice as many pieces as there were ranges, whatever they look like.
 *
 * Context: collector; see range_map.h.
 */
#include "range_map.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_CAPACITY 64

static bool reserve(struct range_map *map)
{
	if (map->items && map->count < map->capacity)
		return true;
	size_t capacity = map->capacity ? 2 * map->capacity : FIRST_CAPACITY;
	struct range *items = reallocarray(map->items, capacity, sizeof(*items));
	if (!items)
		return false;
	map->items = items;
	map->capacity = capacity;
	return true;
}

void range_map_add(struct range_map *map, struct range range)
{
	if (range.start >= range.end || map->is_failed)
		return;
	if (!reserve(map))
		map->is_failed = true;
	else
		map->items[map->count++] = range;
}

struct sweep {
	const struct range *ranges; /* in the order in which they were added */
	uint32_t *heap;             /* indices into ranges; the winner is first */
	size_t heap_count;
	struct range_map out;
};

static bool wins(const struct sweep *sweep, uint32_t a, uint32_t b)
{
	const struct range *x = &sweep->ranges[a], *y = &sweep->ranges[b];
	if (x->rank != y->rank)
		return x->rank > y->rank;
	if (x->start != y->start)
		return x->start > y->start;
	return a > b;
}

static void heap_push(struct sweep *sweep, uint32_t index)
{
	size_t i = sweep->heap_count++;
	while (i && wins(sweep, index, sweep->heap[(i - 1) / 2])) {
		sweep->heap[i] = sweep->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	sweep->heap[i] = index;
}

static void heap_pop(struct sweep *sweep)
{
	uint32_t last = sweep->heap[--sweep->heap_count];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= sweep->heap_count)
			break;
		if (child + 1 < sweep->heap_count && wins(sweep, sweep->heap[child + 1], sweep->heap[child]))
			child++;
		if (!wins(sweep, sweep->heap[child], last))
			break;
		sweep->heap[i] = sweep->heap[child];
		i = child;
	}
	sweep->heap[i] = last;
}

/* Emits pieces from `from` to `to`, which no new range interrupts. */
static void emit(struct sweep *sweep, uint64_t from, uint64_t to)
{
	while (sweep->heap_count && from < to) {
		const struct range *top = &sweep->ranges[sweep->heap[0]];
		if (top->end <= from) {
			heap_pop(sweep);
			continue;
		}
		struct range piece = {from, top->end < to ? top->end : to, top->rank, top->value};
		struct range *before = sweep->out.count ? &sweep->out.items[sweep->out.count - 1] : NULL;
		if (before && before->end == from && before->value == piece.value)
			before->end = piece.end;
		else
			range_map_add(&sweep->out, piece);
		from = piece.end;
	}
}

static int compare_starts(const void *a, const void *b, void *ranges)
{
	const struct range *x = (const struct range *)ranges + *(const uint32_t *)a;
	const struct range *y = (const struct range *)ranges + *(const uint32_t *)b;
	return x->start < y->start ? -1 : x->start > y->start;
}

int range_map_seal(struct range_map *map)
{
	int error = -ENOMEM;
	struct sweep sweep = {.ranges = map->items};
	uint32_t *order = NULL;
	if (map->is_failed || map->count >= UINT32_MAX)
		goto out;
	order = calloc(map->count + 1, sizeof(*order));
	sweep.heap = calloc(map->count + 1, sizeof(*sweep.heap));
	if (!order || !sweep.heap)
		goto out;
	for (size_t i = 0; i < map->count; i++)
		order[i] = (uint32_t)i;
	if (map->count)
		qsort_r(order, map->count, sizeof(*order), compare_starts, map->items);
	for (size_t i = 0; i < map->count; i++) {
		uint64_t start = map->items[order[i]].start;
		uint64_t next = i + 1 < map->count ? map->items[order[i + 1]].start : UINT64_MAX;
		heap_push(&sweep, order[i]);
		emit(&sweep, start, next);
	}
	error = sweep.out.is_failed ? -ENOMEM : 0;
out:
	free(order);
	free(sweep.heap);
	free(map->items);
	if (error) {
		free(sweep.out.items);
		sweep.out = (struct range_map){0};
	}
	*map = sweep.out;
	return error;
}

bool range_map_find_range(const struct range_map *map, uint64_t address, struct range *out_range)
{
	size_t low = 0, high = map->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (map->items[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == map->count || address < map->items[low].start)
		return false;
	*out_range = map->items[low];
	return true;
}

bool range_map_find(const struct range_map *map, uint64_t address, uint32_t *out_value)
{
	struct range range;
	if (!range_map_find_range(map, address, &range))
		return false;
	*out_value = range.value;
	return true;
}

void range_map_fini(struct range_map *map)
{
	free(map->items);
	*map = (struct range_map){0};
}
