/* SPDX-License-Identifier: MIT */
/* Memos of stacks: what they say is what a walk would say, also where stacks begin alike. */
#include <alloca.h>
#include <criterion/criterion.h>

#include "record.h"
#include "stack_memo.h"
#include "stack_table.h"
#include "walk_fixture.h"

#define NOIPA __attribute__((noipa))

static uint64_t found, walked; /* how many stacks came from a memo, and how many did not */

static void set_up(void)
{
	walk_fixture_set_up();
	own_thread_attach();
}

TestSuite(stack_memo, .init = set_up);

/* The stack of the caller: as it is recorded, which must be what a walk and the table say. */
static NOIPA uint32_t recorded_stack(void)
{
	struct unwind_regs regs;
	struct guard guard;
	struct stack out;
	unwind_regs_of_caller(&regs);
	cr_assert(guard_enter(&guard));
	guard.bounds = bounds;
	struct stack_memo *memo = stack_memo_at(&guard, &regs);
	cr_assert_not_null(memo);
	if (stack_memo_find(memo, &guard, &regs))
		found++;
	else
		walked++;
	uint32_t id = record_again(&guard, &regs, CPROF_KIND_ALLOC, CPROF_WEIGHT_ONE, 3);
	guard_leave(&guard);
	walk(&regs, &bounds, &out);
	cr_assert_neq(id, 0);
	cr_assert_eq(id, stack_table_intern(out.frames, out.count, out.flags));
	return id;
}

static NOIPA uint32_t leaf(void)
{
	uint32_t id = recorded_stack();
	__asm__ volatile("");
	return id;
}

/* Two callers whose frames are alike: the leaf begins with the same pc and stack pointer. */
static NOIPA uint32_t call_one_way(void)
{
	uint32_t id = leaf();
	__asm__ volatile("# one");
	return id;
}
static NOIPA uint32_t call_another_way(void)
{
	uint32_t id = leaf();
	__asm__ volatile("# another");
	return id;
}

Test(stack_memo, stack_that_comes_back_is_found_without_a_walk)
{
	uint32_t first = 0;
	for (volatile int i = 0; i < 100; i++) {
		uint32_t id = call_one_way();
		if (i == 0)
			first = id;
		cr_assert_eq(id, first);
	}
	cr_expect_eq(walked, 2, "noted, and learnt");
	cr_expect_eq(found, 98);
}

Test(stack_memo, callers_with_equal_frames_are_told_apart)
{
	uint32_t (*volatile ways[2])(void) = {call_one_way, call_another_way};
	uint32_t ids[2] = {0, 0};
	for (volatile int i = 0; i < 1000; i++) {
		int way = i / (1 + i % 5) % 2;
		uint32_t id = ways[way]();
		if (ids[way] == 0)
			ids[way] = id;
		cr_assert_eq(id, ids[way]);
	}
	cr_expect_neq(ids[0], ids[1]);
	cr_expect_gt(found, 0);
}

/* A frame whose size is not known from the code: its caller's place depends on the saved frame pointer. */
static NOIPA uint32_t call_from_a_frame_of(size_t bytes)
{
	char *room = alloca(bytes);
	__asm__ volatile("" : : "r"(room) : "memory");
	uint32_t id = leaf();
	__asm__ volatile("" : : "r"(room) : "memory");
	return id;
}

/* Takes as much from the stack as the other one leaves. */
static NOIPA uint32_t descend(uint32_t choices, int levels)
{
	uint32_t id;
	if (levels == 0)
		return leaf();
	switch (choices % 4) {
	case 0:
		id = call_from_a_frame_of(choices / 4 % 8 * 16);
		break;
	case 1:
		id = descend(choices / 4, levels - 1);
		__asm__ volatile("# one");
		break;
	case 2:
		id = descend(choices / 4, levels - 1);
		__asm__ volatile("# another");
		break;
	default:
		id = call_one_way();
	}
	__asm__ volatile("");
	return id;
}

Test(stack_memo, any_sequence_of_stacks_is_what_walks_say)
{
	uint32_t random = 1;
	for (int i = 0; i < 50000; i++) {
		/* Marsaglia's xorshift32 (2003); few of its bits, so that stacks come back. */
		random ^= random << 13;
		random ^= random >> 17;
		random ^= random << 5;
		(void)descend(random >> 7 & 255, (int)(random & 3));
	}
	cr_expect_gt(found, 5000);
	cr_expect_gt(walked, 50);
}

Test(stack_memo, words_that_changed_are_noticed)
{
	struct unwind_regs regs;
	struct guard guard;
	unwind_regs_of_caller(&regs);
	cr_assert(guard_enter(&guard));
	guard.bounds = bounds;
	uint32_t id = record_again(&guard, &regs, CPROF_KIND_ALLOC, CPROF_WEIGHT_ONE, 3);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(record_again(&guard, &regs, CPROF_KIND_ALLOC, CPROF_WEIGHT_ONE, 3), id);
	struct stack_memo *memo = stack_memo_at(&guard, &regs);
	cr_assert_eq(stack_memo_find(memo, &guard, &regs), id);
	cr_assert_gt(memo->word_count, 0);
	for (uint32_t i = 0; i < memo->word_count; i++) {
		memo->words[i].word ^= 1;
		cr_expect_eq(stack_memo_find(memo, &guard, &regs), 0, "word %u", i);
		memo->words[i].word ^= 1;
	}
	/* What lies outside of the stack is not read. */
	guard.bounds.high = regs.sp + memo->words[memo->word_count - 1].offset;
	cr_expect_eq(stack_memo_find(memo, &guard, &regs), 0);
	guard.bounds.high = bounds.high;
	/* Nor is anything believed after an object was unloaded. */
	add_relaxed(&modules_generation, 1);
	cr_expect_eq(stack_memo_find(memo, &guard, &regs), 0);
	cr_expect_eq(record_again(&guard, &regs, CPROF_KIND_ALLOC, CPROF_WEIGHT_ONE, 3), id);
	guard_leave(&guard);
}

/* What the totals say of a stack; how many of them belong to a thread. */
static uint32_t owned_totals(uint32_t stack, uint64_t *out_weight, uint64_t *out_value)
{
	uint32_t owned = 0;
	*out_weight = *out_value = 0;
	for (uint32_t b = 0; b < segment.geometry.totals.bucket_count; b++)
		for (uint32_t i = 0; i < CPROF_BUCKET_SLOTS; i++) {
			const struct cprof_total_bucket *bucket = segment_total_bucket(b);
			uint64_t key = load_acquire(&bucket->key[i]);
			if (key == 0 || cprof_total_key_stack(key) != stack)
				continue;
			cr_assert_eq(cprof_total_key_kind(key), CPROF_KIND_ALLOC);
			owned += key != cprof_total_key(stack, CPROF_KIND_ALLOC, cprof_total_key_label(key));
			*out_weight += load_relaxed(&bucket->sums[i].producer_weight);
			*out_value += load_relaxed(&bucket->sums[i].producer_value);
		}
	return owned;
}

/* The ring is never drained here; what it has no room for is in the totals, under whichever label. */
Test(stack_memo, what_keeps_coming_back_is_added_to_the_threads_own_total)
{
	uint32_t id = 0;
	uint64_t weight, value, calls = 3000;
	for (volatile uint64_t i = 0; i < calls; i++) {
		thread_tls.labels = i % 1000 == 999 ? 5 : 0;
		id = call_one_way();
	}
	uint64_t in_ring = load_relaxed(&segment_thread(0)->head);
	cr_expect_eq(owned_totals(id, &weight, &value), 2, "one for each label");
	cr_expect_eq(weight, (calls - in_ring) * CPROF_WEIGHT_ONE);
	cr_expect_eq(value, (calls - in_ring) * 3);
}

/* What several threads write at once must not lie in one cache line. */
Test(stack_memo, threads_own_totals_lie_apart)
{
	struct unwind_regs regs;
	struct guard guard;
	const uint32_t threads = 8;
	unwind_regs_of_caller(&regs);
	cr_assert(guard_enter(&guard));
	guard.bounds = bounds;
	for (uint32_t kind = CPROF_KIND_CPU; kind < CPROF_KIND_COUNT; kind++)
		for (uint32_t i = 0; i < threads * 1000; i++) {
			guard.slot = segment_thread(i % threads);
			(void)record_again(&guard, &regs, kind, CPROF_WEIGHT_ONE, 1);
		}
	guard.slot = segment_thread(0);
	guard_leave(&guard);
	for (uint32_t b = 0; b < segment.geometry.totals.bucket_count; b++) {
		uint32_t one = 0;
		for (uint32_t i = 0; i < CPROF_BUCKET_SLOTS; i++) {
			uint32_t owner = load_acquire(&segment_total_bucket(b)->key[i]) >> 27 &
					 CPROF_TOTAL_OWNERS;
			cr_expect(owner == 0 || one == 0 || owner == one, "bucket %u: %u and %u", b, one,
				  owner);
			one = owner ? owner : one;
		}
	}
}

/* Another segment, as in a forked child, where the same stack has the same id. */
Test(stack_memo, totals_of_a_segment_that_is_gone_are_forgotten)
{
	uint64_t weight, value;
	for (volatile int i = 0; i < 1000; i++)
		(void)call_one_way();
	struct cprof_thread *slot = segment_thread(0);
	uint64_t totals_bytes = segment.geometry.totals.bucket_count * sizeof(struct cprof_total_bucket);
	memset(segment_total_bucket(0), 0, totals_bytes);
	add_relaxed(&modules_generation, 1);
	uint64_t in_ring = load_relaxed(&slot->head);
	uint32_t id = 0;
	for (volatile int i = 0; i < 1000; i++)
		id = call_one_way();
	cr_expect_eq(load_relaxed(&slot->head), in_ring);
	(void)owned_totals(id, &weight, &value);
	cr_expect_eq(value, 3000);
	cr_expect_eq(weight, 1000 * CPROF_WEIGHT_ONE);
}

Test(stack_memo, handlers_and_unknown_stacks_have_none)
{
	struct unwind_regs regs;
	struct guard guards[2]; /* as in a stack, the first one lies above */
	unwind_regs_of_caller(&regs);
	cr_assert(guard_enter(&guards[1]));
	cr_assert(guard_enter(&guards[0]));
	guards[0].bounds = bounds;
	cr_expect_null(stack_memo_at(&guards[0], &regs));
	guard_leave(&guards[0]);
	guards[1].bounds = no_bounds;
	cr_expect_null(stack_memo_at(&guards[1], &regs));
	guard_leave(&guards[1]);
}

/* As an interposed function tells of itself: by its entry, above its caller. */
static NOIPA uint32_t call_above(const void *function)
{
	struct unwind_regs regs;
	struct guard guard;
	unwind_regs_of_caller(&regs);
	cr_assert(guard_enter(&guard));
	guard.bounds = bounds;
	if (stack_memo_find(stack_memo_above(&guard, function, &regs), &guard, &regs))
		found++;
	uint32_t id = record_stack_above(&guard, function, &regs);
	guard_leave(&guard);
	return id;
}

static const struct cprof_stack *stack_of(uint32_t id)
{
	return (const struct cprof_stack *)(const void *)(segment_frames() + id);
}

Test(stack_memo, functions_called_from_one_place_are_told_apart)
{
	const void *functions[2] = {(const void *)(uintptr_t)leaf, (const void *)(uintptr_t)call_one_way};
	uint32_t ids[2] = {0, 0};
	for (volatile int i = 0; i < 100; i++) {
		int which = i / 10 % 2;
		uint32_t id = call_above(functions[which]);
		if (ids[which] == 0)
			ids[which] = id;
		cr_assert_eq(id, ids[which]);
	}
	cr_expect_gt(found, 50);
	cr_assert_neq(ids[0], ids[1]);
	cr_expect_eq(stack_of(ids[0])->frame_count, stack_of(ids[1])->frame_count);
	cr_expect_eq(cprof_frame_offset(stack_of(ids[1])->frames[0]) -
			     cprof_frame_offset(stack_of(ids[0])->frames[0]),
		     (uint64_t)(uintptr_t)functions[1] - (uint64_t)(uintptr_t)functions[0]);
}

Test(stack_memo, a_stack_and_the_same_below_a_function_are_told_apart)
{
	uint32_t above = 0, walked_from = 0;
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	for (int i = 0; i < 10; i++) {
		struct guard guard;
		cr_assert(guard_enter(&guard));
		guard.bounds = bounds;
		above = record_stack_above(&guard, (const void *)(uintptr_t)leaf, &regs);
		walked_from = record_again(&guard, &regs, CPROF_KIND_ALLOC, CPROF_WEIGHT_ONE, 1);
		guard_leave(&guard);
		cr_assert_eq(stack_of(above)->frame_count, stack_of(walked_from)->frame_count + 1);
	}
}
