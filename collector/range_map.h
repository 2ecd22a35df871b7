/* SPDX-License-Identifier: MIT */
/*
 * A map from address ranges to values: symbols, functions, units, JIT code.  Filled
 * first, then sealed, then asked.  Ranges may overlap when they are added: the one
 * with the highest rank wins, among equals the one that starts later (the inner
 * one), then the one added later.
 *
 * Context: collector; not thread-safe.
 */
#ifndef COLLECTOR_RANGE_MAP_H
#define COLLECTOR_RANGE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct range {
	uint64_t start;
	uint64_t end; /* first address after it */
	uint32_t rank;
	uint32_t value;
};

/* A zeroed one is empty and valid. */
struct range_map {
	struct range *items; /* after sealing: sorted and disjoint */
	size_t count;
	size_t capacity;
	bool is_failed; /* no memory for a range: remembered until range_map_seal() */
};

/* Adds [start, end); an empty range is ignored. */
void range_map_add(struct range_map *map, struct range range);

/* Makes the map ready for range_map_find().  0 or -ENOMEM (the map is then empty). */
int range_map_seal(struct range_map *map);

bool range_map_find(const struct range_map *map, uint64_t address, uint32_t *out_value);

/* The same with all of the range; of an overlapped one, the part that is left. */
bool range_map_find_range(const struct range_map *map, uint64_t address, struct range *out_range);

void range_map_fini(struct range_map *map);

#endif
