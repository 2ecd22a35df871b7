/* SPDX-License-Identifier: MIT */
/*
 * Overlapping ranges, against a search that looks at all of them.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "range_map.h"

#define NONE UINT32_MAX

static uint32_t found(const struct range_map *map, uint64_t address)
{
	uint32_t value;
	return range_map_find(map, address, &value) ? value : NONE;
}

static uint32_t found_by_search(const struct range *ranges, size_t count, uint64_t address)
{
	const struct range *best = NULL;
	for (size_t i = 0; i < count; i++) {
		const struct range *r = &ranges[i];
		if (address < r->start || address >= r->end)
			continue;
		if (!best || r->rank > best->rank || (r->rank == best->rank && r->start >= best->start))
			best = r;
	}
	return best ? best->value : NONE;
}

Test(range_map, finds_nothing_when_empty)
{
	struct range_map map = {0};
	cr_expect_eq(found(&map, 0), NONE);
	cr_assert_eq(range_map_seal(&map), 0);
	cr_expect_eq(found(&map, 5), NONE);
	range_map_fini(&map);
}

Test(range_map, includes_the_start_and_excludes_the_end)
{
	struct range_map map = {0};
	range_map_add(&map, (struct range){10, 20, 0, 1});
	range_map_add(&map, (struct range){20, 21, 0, 2});
	range_map_add(&map, (struct range){30, 30, 0, 3});
	range_map_add(&map, (struct range){50, 40, 0, 4});
	range_map_add(&map, (struct range){UINT64_MAX - 1, UINT64_MAX, 0, 5});
	cr_assert_eq(range_map_seal(&map), 0);
	cr_expect_eq(found(&map, 9), NONE);
	cr_expect_eq(found(&map, 10), 1);
	cr_expect_eq(found(&map, 19), 1);
	cr_expect_eq(found(&map, 20), 2);
	cr_expect_eq(found(&map, 21), NONE);
	cr_expect_eq(found(&map, 30), NONE);
	cr_expect_eq(found(&map, 45), NONE);
	cr_expect_eq(found(&map, UINT64_MAX - 1), 5);
	range_map_fini(&map);
}

Test(range_map, prefers_rank_then_the_inner_range_then_the_later_one)
{
	struct range_map map = {0};
	range_map_add(&map, (struct range){0, 100, 0, 1});
	range_map_add(&map, (struct range){20, 40, 0, 2});
	range_map_add(&map, (struct range){20, 30, 0, 3});
	range_map_add(&map, (struct range){0, 50, 1, 4});
	range_map_add(&map, (struct range){60, 70, 0, 5});
	cr_assert_eq(range_map_seal(&map), 0);
	cr_expect_eq(found(&map, 25), 4);
	cr_expect_eq(found(&map, 55), 1);
	cr_expect_eq(found(&map, 65), 5);
	cr_expect_eq(found(&map, 75), 1);
	range_map_fini(&map);
}

Test(range_map, agrees_with_a_search_of_all_ranges)
{
	unsigned seed = 3;
	for (int round = 0; round < 300; round++) {
		struct range ranges[40];
		struct range_map map = {0};
		size_t count = (size_t)rand_r(&seed) % 40;
		for (size_t i = 0; i < count; i++) {
			uint64_t start = (uint64_t)rand_r(&seed) % 200;
			ranges[i] = (struct range){start, start + (uint64_t)rand_r(&seed) % 50,
						   (uint32_t)rand_r(&seed) % 3, (uint32_t)i};
			range_map_add(&map, ranges[i]);
		}
		cr_assert_eq(range_map_seal(&map), 0);
		cr_assert_leq(map.count, 2 * count);
		for (uint64_t address = 0; address < 260; address++)
			cr_assert_eq(found(&map, address), found_by_search(ranges, count, address));
		range_map_fini(&map);
	}
}
