/* SPDX-License-Identifier: MIT */
/* As qsort() sorts, whatever the order and the size of the items. */
#include "lean_sort.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"

struct item {
	uint64_t key;
	uint64_t copies[6];
};

static int by_key(const void *left, const void *right)
{
	return compare_u64(((const struct item *)left)->key, ((const struct item *)right)->key);
}

static void check(uint64_t (*key)(uint64_t number, uint64_t count), size_t count, size_t item_bytes)
{
	unsigned char *items = calloc(count + 1, item_bytes);
	unsigned char *expected = calloc(count + 1, item_bytes);
	cr_assert(items && expected);
	for (uint64_t i = 0; i < count; i++)
		for (size_t at = 0; at < item_bytes; at += sizeof(uint64_t)) {
			uint64_t value = key(i, count);
			memcpy(items + i * item_bytes + at, &value, sizeof value);
		}
	memcpy(expected, items, count * item_bytes);
	qsort(expected, count, item_bytes, by_key);
	cr_assert_eq(lean_sort(items, count, item_bytes, by_key), 0);
	cr_expect_eq(memcmp(items, expected, count * item_bytes), 0);
	free(items);
	free(expected);
}

static uint64_t sorted(uint64_t number, uint64_t count)
{
	(void)count;
	return number;
}

static uint64_t backwards(uint64_t number, uint64_t count)
{
	return count - number;
}

/* 7919 is a prime: all are different. */
static uint64_t mixed(uint64_t number, uint64_t count)
{
	return number * 7919 % (count + 1);
}

static uint64_t turned(uint64_t number, uint64_t count)
{
	return (number + 1) % count;
}

Test(lean_sort, sorts_as_qsort_does)
{
	static const size_t counts[] = {0, 1, 2, 3, 100, 1000};
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
		for (size_t item_bytes = 8; item_bytes <= sizeof(struct item); item_bytes += 8) {
			check(sorted, counts[i], item_bytes);
			check(backwards, counts[i], item_bytes);
			check(mixed, counts[i], item_bytes);
			if (counts[i])
				check(turned, counts[i], item_bytes);
		}
}
