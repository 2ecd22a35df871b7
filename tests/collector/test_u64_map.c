/* SPDX-License-Identifier: MIT */
/*
 * Context: tests.
 */
#include <criterion/criterion.h>

#include "u64_map.h"

Test(u64_map, keeps_what_was_put_while_it_grows)
{
	struct u64_map map = {0};
	uint32_t value;
	cr_expect_not(u64_map_find(&map, 0, &value));
	for (uint64_t i = 0; i < 10000; i++)
		cr_assert_eq(u64_map_put(&map, i << 49, (uint32_t)i), 0);
	cr_expect_eq(map.count, 10000);
	for (uint64_t i = 0; i < 10000; i++) {
		cr_assert(u64_map_find(&map, i << 49, &value));
		cr_assert_eq(value, i);
	}
	cr_expect_not(u64_map_find(&map, 1, &value));
	cr_expect_not(u64_map_find(&map, UINT64_MAX, &value));
	u64_map_fini(&map);
	cr_expect_not(u64_map_find(&map, 0, &value));
}

Test(u64_map, replaces_the_value_of_a_key)
{
	struct u64_map map = {0};
	uint32_t value;
	cr_assert_eq(u64_map_put(&map, 7, 1), 0);
	cr_assert_eq(u64_map_put(&map, 7, 2), 0);
	cr_expect_eq(map.count, 1);
	cr_expect(u64_map_find(&map, 7, &value) && value == 2);
	u64_map_fini(&map);
}
