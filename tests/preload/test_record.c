/* SPDX-License-Identifier: MIT */
/* Records of full rings: all of them are in the totals, whichever thread they came from. */
#include <criterion/criterion.h>
#include <pthread.h>

#include "own_segment.h"
#include "record.h"

#define THREADS 6u
#define RECORDS 20000u
#define STACKS 300u

static void open_segment(void)
{
	own_segment_open(UINT64_C(16) << 20);
}

TestSuite(record, .init = open_segment);

Test(record, nothing_is_unwound_at_the_end_of_the_stack)
{
	struct guard guard;
	struct unwind_regs regs;
	uint64_t here = (uint64_t)(uintptr_t)__builtin_frame_address(0);
	const void *function = (const void *)(uintptr_t)&pthread_create;
	unwind_regs_of_caller(&regs);
	cr_assert(guard_enter(&guard));
	guard.bounds = (struct unwind_bounds){.low = here - 1024, .high = here + 4096};
	cr_expect_eq(record_stack_above(&guard, function, &regs), 0);
	cr_expect_eq(record_stack(&guard, &regs), 0);
	cr_expect_eq(load_relaxed(&segment_control()->counters[CPROF_STACKS_MISSING]), 2);
	guard.bounds.low = here - 65536;
	cr_expect_neq(record_stack_above(&guard, function, &regs), 0);
	guard.bounds = (struct unwind_bounds){.low = 0, .high = 0};
	cr_expect_neq(record_stack_above(&guard, function, &regs), 0, "not known");
	guard_leave(&guard);
}

/* What a reader counts for a key: rings and all places in the totals. */
static uint64_t sum_of(uint64_t key, uint64_t *out_weight)
{
	uint64_t value = 0;
	*out_weight = 0;
	for (uint32_t b = 0; b < segment.geometry.totals.bucket_count; b++)
		for (uint32_t i = 0; i < CPROF_BUCKET_SLOTS; i++) {
			const struct cprof_total_bucket *bucket = segment_total_bucket(b);
			if (load_acquire(&bucket->key[i]) != key)
				continue;
			value += load_relaxed(&bucket->sums[i].producer_value);
			*out_weight += load_relaxed(&bucket->sums[i].producer_weight);
		}
	for (uint32_t t = 0; t < THREADS; t++) {
		const struct cprof_thread *thread = segment_thread(t);
		for (uint64_t pos = 0; pos < load_acquire(&thread->head); pos++) {
			const struct cprof_record *record = &thread->ring[pos % CPROF_RING_RECORDS];
			if (cprof_total_key(record->stack, record->kind_label >> 24, 0) != key)
				continue;
			value += record->value;
			*out_weight += record->weight;
		}
	}
	return value;
}

static void *record_many(void *slot)
{
	const struct guard guard = {.slot = slot};
	for (uint32_t i = 0; i < RECORDS; i++)
		record_add(&guard, 1 + i % STACKS, CPROF_KIND_ALLOC, CPROF_WEIGHT_ONE, i % 7);
	return NULL;
}

Test(record, full_rings_of_many_threads_lose_nothing)
{
	pthread_t threads[THREADS];
	uint64_t all_value = 0, all_weight = 0;
	for (uint32_t t = 0; t < THREADS; t++)
		cr_assert_eq(pthread_create(&threads[t], NULL, record_many, segment_thread(t)), 0);
	for (uint32_t t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	for (uint32_t stack = 1; stack <= STACKS; stack++) {
		uint64_t weight;
		all_value += sum_of(cprof_total_key(stack, CPROF_KIND_ALLOC, 0), &weight);
		all_weight += weight;
	}
	uint64_t want = 0;
	for (uint32_t i = 0; i < RECORDS; i++)
		want += i % 7;
	cr_assert_eq(all_value, THREADS * want);
	cr_assert_eq(all_weight, CPROF_WEIGHT_ONE * THREADS * RECORDS);
	cr_assert_eq(load_relaxed(&segment_control()->counters[CPROF_TOTALS_FULL]), 0);
}

Test(record, without_a_slot_goes_to_the_totals)
{
	const struct guard guard = {.slot = NULL};
	uint64_t weight;
	record_add(&guard, 9, CPROF_KIND_CPU, CPROF_WEIGHT_ONE, 5);
	record_add(&guard, 9, CPROF_KIND_CPU, CPROF_WEIGHT_ONE, 6);
	cr_assert_eq(sum_of(cprof_total_key(9, CPROF_KIND_CPU, 0), &weight), 11);
	cr_assert_eq(weight, 2 * CPROF_WEIGHT_ONE);
}
