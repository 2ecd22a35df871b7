/* SPDX-License-Identifier: MIT */
/* Interning: equal stacks, different stacks, threads, and the full table. */
#include <criterion/criterion.h>
#include <pthread.h>

#include "own_segment.h"
#include "stack_table.h"

static void open_segment(void)
{
	own_segment_open(UINT64_C(64) << 20);
}

TestSuite(stack_table, .init = open_segment);

static uint32_t intern(uint64_t seed, uint32_t frame_count, uint16_t flags)
{
	uint64_t frames[CPROF_STACK_FRAMES_MAX];
	for (uint32_t i = 0; i < frame_count; i++)
		frames[i] = cprof_mix64(seed + i);
	return stack_table_intern(frames, frame_count, flags);
}

Test(stack_table, equal_stacks_share_an_id_that_leads_to_the_frames)
{
	uint32_t id = intern(5, 40, 0);
	cr_assert_neq(id, 0);
	cr_assert_eq(intern(5, 40, 0), id);
	const struct cprof_stack *stack = (const void *)(segment_frames() + id);
	cr_assert_eq(stack->frame_count, 40);
	for (uint32_t i = 0; i < 40; i++)
		cr_assert_eq(stack->frames[i], cprof_mix64(5 + i));
}

Test(stack_table, depth_frames_and_flags_tell_stacks_apart)
{
	uint32_t id = intern(5, 40, 0);
	cr_assert_neq(intern(5, 39, 0), id);
	cr_assert_neq(intern(5, 40, CPROF_STACK_TRUNCATED), id);
	cr_assert_neq(intern(6, 40, 0), id);
}

Test(stack_table, a_hundred_thousand_stacks_keep_their_ids)
{
	static uint32_t ids[100000];
	for (uint32_t i = 0; i < 100000; i++)
		cr_assert_neq(ids[i] = intern(i * UINT64_C(1000), 6, 0), 0);
	for (uint32_t i = 0; i < 100000; i++)
		cr_assert_eq(intern(i * UINT64_C(1000), 6, 0), ids[i]);
}

Test(stack_table, full_table_gives_no_id_and_counts)
{
	own_segment_open(UINT64_C(1) << 20);
	uint64_t refused = 0;
	for (uint32_t i = 0; i < 20000; i++)
		refused += intern(i * UINT64_C(1000), 20, 0) == 0;
	cr_assert_gt(refused, 0);
	cr_assert_eq(load_relaxed(&segment_control()->counters[CPROF_STACK_TABLE_FULL]), refused);
	cr_assert_leq(load_relaxed(&segment_control()->stacks_used) * 8, segment.geometry.frames_bytes);
	cr_assert_neq(intern(0, 20, 0), 0, "what is in the table is still found");
}

static void *intern_all(void *ids)
{
	for (uint32_t i = 0; i < 5000; i++)
		((uint32_t *)ids)[i] = intern(i * UINT64_C(1000), 10, 0);
	return NULL;
}

Test(stack_table, threads_agree_on_ids)
{
	static uint32_t ids[4][5000];
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, intern_all, ids[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (uint32_t i = 0; i < 5000; i++) {
		cr_assert_neq(ids[0][i], 0);
		for (int t = 1; t < 4; t++)
			cr_assert_eq(memcmp((void *)(segment_frames() + ids[t][i]),
					    (void *)(segment_frames() + ids[0][i]), 88),
				     0);
	}
}
