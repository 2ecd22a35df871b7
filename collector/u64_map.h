/* SPDX-License-Identifier: MIT */
/*
 * A hash map from 64-bit keys (addresses, hashes) to 32-bit values (indices).
 * Insert-only.
 *
 * Context: collector; not thread-safe.
 */
#ifndef COLLECTOR_U64_MAP_H
#define COLLECTOR_U64_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A zeroed one is empty and valid. */
struct u64_map {
	struct u64_map_slot *slots;
	size_t mask;
	size_t count;
};

bool u64_map_find(const struct u64_map *map, uint64_t key, uint32_t *out_value);

/* Adds a key or replaces its value.  0, or -ENOMEM (the map is as before). */
int u64_map_put(struct u64_map *map, uint64_t key, uint32_t value);

void u64_map_fini(struct u64_map *map);

#endif
