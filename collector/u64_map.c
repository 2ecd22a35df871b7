/* SPDX-License-Identifier: MIT */
/*
 * Open addressing with linear probing, at most two thirds full.
 *
 * Context: collector; see u64_map.h.
 */
#include "u64_map.h"

#include <errno.h>
#include <stdlib.h>

#include "cprof_shm.h"

#define FIRST_SLOTS 64

struct u64_map_slot {
	uint64_t key;
	uint32_t value;
	uint32_t is_used;
};

/* The slot that holds the key, or the free one where it belongs. */
static struct u64_map_slot *slot_of(struct u64_map_slot *slots, size_t mask, uint64_t key)
{
	size_t i = cprof_mix64(key) & mask;
	while (slots[i].is_used && slots[i].key != key)
		i = (i + 1) & mask;
	return &slots[i];
}

static int grow(struct u64_map *map)
{
	size_t count = map->slots ? 2 * (map->mask + 1) : FIRST_SLOTS;
	struct u64_map_slot *slots = calloc(count, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; map->slots && i <= map->mask; i++)
		if (map->slots[i].is_used)
			*slot_of(slots, count - 1, map->slots[i].key) = map->slots[i];
	free(map->slots);
	map->slots = slots;
	map->mask = count - 1;
	return 0;
}

bool u64_map_find(const struct u64_map *map, uint64_t key, uint32_t *out_value)
{
	if (!map->slots)
		return false;
	const struct u64_map_slot *slot = slot_of(map->slots, map->mask, key);
	if (!slot->is_used)
		return false;
	*out_value = slot->value;
	return true;
}

int u64_map_put(struct u64_map *map, uint64_t key, uint32_t value)
{
	if (!map->slots || 3 * (map->count + 1) > 2 * (map->mask + 1)) {
		int error = grow(map);
		if (error)
			return error;
	}
	struct u64_map_slot *slot = slot_of(map->slots, map->mask, key);
	map->count += !slot->is_used;
	*slot = (struct u64_map_slot){key, value, 1};
	return 0;
}

void u64_map_fini(struct u64_map *map)
{
	free(map->slots);
	*map = (struct u64_map){0};
}
