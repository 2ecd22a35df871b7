/* SPDX-License-Identifier: MIT */
/* The live table: no false negatives, realloc's detour, behaviour when full, threads. */
#include <criterion/criterion.h>
#include <pthread.h>

#include "live.h"
#include "own_segment.h"

static void open_segment(void)
{
	own_segment_open(UINT64_C(16) << 20);
}

TestSuite(live, .init = open_segment);

static const void *block_at(uint64_t n)
{
	return (const void *)(uintptr_t)(UINT64_C(0x555500000000) + n * 48 / 16 * 16);
}

/* What a reader counts: entries and the sum of their values. */
static uint64_t sum_live(uint64_t *out_count)
{
	uint64_t sum = 0;
	*out_count = 0;
	for (uint32_t b = 0; b < segment.geometry.live.bucket_count; b++)
		for (uint32_t i = 0; i < CPROF_BUCKET_SLOTS; i++) {
			uint64_t address = load_acquire(&segment_live_bucket(b)->address[i]);
			if ((address & ~CPROF_LIVE_FLAGS) == 0)
				continue;
			sum += load_relaxed(&segment_live_bucket(b)->payload[i].value);
			(*out_count)++;
		}
	return sum;
}

Test(live, entered_blocks_are_found_and_others_are_not)
{
	uint64_t count;
	for (uint64_t n = 0; n < 20000; n++) {
		cr_assert(live_insert(block_at(n), 1, 0, CPROF_WEIGHT_ONE, n));
		cr_assert_not(live_is_unknown(block_at(n)));
	}
	cr_assert_eq(sum_live(&count), UINT64_C(20000) * 19999 / 2);
	cr_assert_eq(count, 20000);
	for (uint64_t n = 0; n < 20000; n += 2)
		live_remove(block_at(n));
	live_remove(block_at(1000000)); /* never entered: nothing happens */
	sum_live(&count);
	cr_assert_eq(count, 10000);
	for (uint64_t n = 1; n < 20000; n += 2)
		live_remove(block_at(n));
	cr_assert_eq(sum_live(&count), 0);
	cr_assert_eq(count, 0);
}

Test(live, filter_forgets_blocks_that_were_removed)
{
	cr_assert(live_is_unknown(block_at(7)));
	live_insert(block_at(7), 1, 0, 1, 1);
	cr_assert_not(live_is_unknown(block_at(7)));
	live_remove(block_at(7));
	cr_assert(live_is_unknown(block_at(7)));
}

/* When every block is recorded counting them would only cost. */
Test(live, filter_says_maybe_for_ever_where_a_block_was_entered_at_rate_one)
{
	uint64_t count;
	store_relaxed(&segment_control()->heap_rate_bytes, UINT64_C(1));
	live_insert(block_at(7), 1, 0, CPROF_WEIGHT_ONE, 1);
	live_remove(block_at(7));
	cr_assert_not(live_is_unknown(block_at(7)));
	cr_assert_eq(sum_live(&count), 0);
	store_relaxed(&segment_control()->heap_rate_bytes, UINT64_C(4096));
	live_insert(block_at(7), 1, 0, 1, 1);
	live_remove(block_at(7));
	cr_assert_not(live_is_unknown(block_at(7)));
	live_insert(block_at(70), 1, 0, 1, 1);
	live_remove(block_at(70));
	cr_assert(live_is_unknown(block_at(70)));
}

/* A block whose filter counter is NULL's too: free(NULL) must not make it unknown. */
Test(live, null_is_in_no_table)
{
	const void *block = (const void *)UINT64_C(0x7f0000000000);
	live_insert(block, 1, 0, 1, 1);
	live_remove(NULL);
	cr_assert_not(live_is_unknown(block));
	cr_assert_not(live_detach(NULL).found);
}

Test(live, detached_block_counts_but_is_not_found)
{
	uint64_t count;
	live_insert(block_at(3), 1, 0, CPROF_WEIGHT_ONE, 30);
	struct live_entry entry = live_detach(block_at(3));
	cr_assert(entry.found);
	cr_assert_eq(sum_live(&count), 30);
	/* Another thread is given the old address: both count. */
	live_insert(block_at(3), 2, 0, CPROF_WEIGHT_ONE, 5);
	cr_assert_eq(sum_live(&count), 35);
	live_drop(entry, block_at(3));
	cr_assert_eq(sum_live(&count), 5);
	live_remove(block_at(3));
	sum_live(&count);
	cr_assert_eq(count, 0);
}

Test(live, failed_realloc_puts_the_block_back)
{
	uint64_t count;
	live_insert(block_at(3), 1, 0, CPROF_WEIGHT_ONE, 30);
	live_reattach(live_detach(block_at(3)), block_at(3));
	cr_assert_eq(sum_live(&count), 30);
	live_remove(block_at(3));
	cr_assert_eq(sum_live(&count), 0);
}

Test(live, full_table_refuses_and_counts)
{
	own_segment_open(UINT64_C(1) << 20);
	uint64_t refused = 0, count;
	for (uint64_t n = 0; n < 50000; n++)
		refused += !live_insert(block_at(n), 1, 0, CPROF_WEIGHT_ONE, 1);
	sum_live(&count);
	cr_assert_gt(refused, 0);
	cr_assert_eq(count + refused, 50000);
	cr_assert_eq(load_relaxed(&segment_control()->counters[CPROF_LOST_LIVE_BLOCKS]), refused);
	/* Removing what never got in changes nothing; what got in all comes out. */
	for (uint64_t n = 0; n < 50000; n++)
		live_remove(block_at(n));
	sum_live(&count);
	cr_assert_eq(count, 0);
}

/* At rate 1 the search for room begins elsewhere, and ends nowhere else. */
Test(live, blocks_are_found_whatever_the_rate_was_when_they_came)
{
	own_segment_open(UINT64_C(1) << 20);
	uint64_t refused = 0, count;
	for (uint64_t n = 0; n < 50000; n++) {
		store_relaxed(&segment_control()->heap_rate_bytes, n % 2 ? UINT64_C(1) : UINT64_C(4096));
		refused += !live_insert(block_at(n), 1, 0, CPROF_WEIGHT_ONE, 1);
	}
	sum_live(&count);
	cr_assert_eq(count + refused, 50000);
	cr_assert_eq(count, segment.geometry.live.bucket_count * CPROF_BUCKET_SLOTS);
	for (uint64_t n = 0; n < 50000; n++) {
		store_relaxed(&segment_control()->heap_rate_bytes, n % 3 ? UINT64_C(1) : UINT64_C(4096));
		live_remove(block_at(n));
	}
	sum_live(&count);
	cr_assert_eq(count, 0);
}

/* Ways in which blocks lie that no bucket may be too small for. */
Test(live, blocks_at_equal_distances_all_have_room_at_rate_one)
{
	store_relaxed(&segment_control()->heap_rate_bytes, UINT64_C(1));
	for (uint32_t shift = 3; shift <= 30; shift++) {
		const uint64_t start = UINT64_C(0x7f0000000000);
		uint64_t count;
		for (uint64_t n = 0; n < 10000; n++)
			cr_assert(
				live_insert((const void *)(start + (n << shift)), 1, 0, CPROF_WEIGHT_ONE, 1),
				"block %lu of those %lu bytes apart", n, UINT64_C(1) << shift);
		for (uint64_t n = 0; n < 10000; n++)
			live_remove((const void *)(start + (n << shift)));
		sum_live(&count);
		cr_assert_eq(count, 0);
	}
}

static void *churn(void *argument)
{
	uint64_t base = (uint64_t)(uintptr_t)argument * 1000000;
	for (int round = 0; round < 200; round++) {
		for (uint64_t n = 0; n < 200; n++)
			cr_assert(live_insert(block_at(base + n), 1, 0, CPROF_WEIGHT_ONE, 1));
		for (uint64_t n = 0; n < 200; n++)
			live_remove(block_at(base + n));
	}
	return NULL;
}

Test(live, threads_do_not_lose_each_others_entries)
{
	pthread_t threads[4];
	uint64_t count;
	for (uintptr_t i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, churn, (void *)i), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	sum_live(&count);
	cr_assert_eq(count, 0);
}
