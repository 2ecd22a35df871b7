/* SPDX-License-Identifier: MIT */
/*
 * A test's own segment in which every wait and release is recorded, and what is in its
 * rings.
 */
#ifndef TESTS_CONTENTION_SUMS_H
#define TESTS_CONTENTION_SUMS_H

#include "contention.h"
#include "cprof_ring.h"
#include "own_segment.h"

static inline void contention_sums_open(void)
{
	cr_assert(real_resolve());
	real_resolve_optional();
	own_segment_open(UINT64_C(16) << 20);
	store_relaxed(&segment_control()->block_rate_ns, UINT64_C(1));
	store_relaxed(&segment_control()->mutex_fraction, UINT32_C(1));
	store_relaxed(&segment_control()->contention, UINT32_C(1));
	contention_follow_segment();
}

struct sum {
	uint64_t weight, value, records;
	const void *leaf; /* of the last one */
};

/* What all rings hold of a kind, with the leaf `leaf` unless that is NULL. */
static inline struct sum sum_of(enum cprof_kind kind, const void *leaf)
{
	struct sum sum = {0};
	for (uint32_t i = 0; i < load_acquire(&segment_control()->threads_used); i++) {
		struct cprof_thread *thread = segment_thread(i);
		struct ring_copy copy;
		for (uint64_t pos = 0; ring_peek(thread, pos, &copy); pos++) {
			if (copy.kind != (uint32_t)kind)
				continue;
			const struct cprof_stack *stack = (const void *)(segment_frames() + copy.stack);
			uint64_t frame = stack->frames[0];
			uint64_t at = cprof_frame_offset(frame) +
				      (cprof_frame_module(frame) == CPROF_MODULE_NONE
					       ? 0
					       : segment_module(cprof_frame_module(frame))->bias);
			cr_assert(frame & CPROF_FRAME_EXACT);
			if (leaf && at != (uint64_t)(uintptr_t)leaf)
				continue;
			sum.weight += copy.weight;
			sum.value += copy.value;
			sum.records++;
			sum.leaf = (const void *)(uintptr_t)at;
		}
	}
	return sum;
}

static inline uint64_t waits_of(enum cprof_kind kind, const void *leaf)
{
	return sum_of(kind, leaf).weight / CPROF_WEIGHT_ONE;
}

#define BLOCKED(function) waits_of(CPROF_KIND_BLOCK, (const void *)(uintptr_t)real.function)
#define CHARGED(function) waits_of(CPROF_KIND_MUTEX, (const void *)(uintptr_t)real.function)

#endif
