/* SPDX-License-Identifier: MIT */
/*
 * A stack is written to the frame arena first and published by one CAS of its index
 * slot, so a reader never meets half a stack and nobody waits for anybody: a signal
 * handler that interrupted an insertion sees an empty slot and takes it.
 *
 * Context: any (async-signal-safe).
 */
#include "stack_table.h"

#include "segment.h"

#include <string.h>

static uint32_t hash_frames(const uint64_t *frames, uint32_t frame_count, uint16_t flags)
{
	/* Multiply and rotate, two lanes so that the multiplications overlap. */
	uint64_t a = UINT64_C(0x9e3779b97f4a7c15) ^ frame_count;
	uint64_t b = UINT64_C(0xc2b2ae3d27d4eb4f) ^ flags;
	uint32_t i = 0;
	for (; i + 1 < frame_count; i += 2) {
		a = (a ^ frames[i]) * UINT64_C(0x9fb21c651e98df25);
		b = (b ^ frames[i + 1]) * UINT64_C(0xd6e8feb86659fd93);
		a ^= a >> 29;
		b ^= b >> 31;
	}
	if (i < frame_count)
		a = (a ^ frames[i]) * UINT64_C(0x9fb21c651e98df25);
	uint32_t hash = (uint32_t)(cprof_mix64(a ^ (b << 1)) >> 16);
	return hash ? hash : 1; /* an index slot of 0 is empty */
}

static struct cprof_stack *stack_at(uint32_t id)
{
	return (struct cprof_stack *)(void *)(segment_frames() + id);
}

static bool stack_equals(uint32_t id, const uint64_t *frames, uint32_t frame_count, uint16_t flags)
{
	const struct cprof_stack *stack = stack_at(id);
	/* The program may have written nonsense over the index. */
	uint64_t capacity = segment.geometry.frames_bytes / sizeof(uint64_t);
	if (unlikely(id + UINT64_C(1) + frame_count > capacity))
		return false;
	return stack->frame_count == frame_count && stack->flags == flags &&
	       memcmp(stack->frames, frames, frame_count * sizeof *frames) == 0;
}

/* Copies a stack to the arena.  Returns its id, 0 if the arena is full. */
static uint32_t store(uint32_t hash, const uint64_t *frames, uint32_t frame_count, uint16_t flags)
{
	struct cprof_control *control = segment_control();
	uint64_t capacity = segment.geometry.frames_bytes / sizeof(uint64_t);
	uint64_t units = 1 + frame_count;
	/* Relaxed: the numbers need only be disjoint; the stack is published by its slot. */
	uint64_t at = load_relaxed(&control->stacks_used);
	if (at > capacity || at + units + 1 > capacity)
		return 0;
	at = 1 + add_relaxed(&control->stacks_used, units);
	if (at > capacity || at + units > capacity) {
		sub_relaxed(&control->stacks_used, units);
		return 0;
	}
	struct cprof_stack *stack = stack_at((uint32_t)at);
	stack->hash = hash;
	stack->frame_count = (uint16_t)frame_count;
	stack->flags = flags;
	memcpy(stack->frames, frames, frame_count * sizeof *frames);
	return (uint32_t)at;
}

uint32_t stack_table_intern(const uint64_t *frames, uint32_t frame_count, uint16_t flags)
{
	const struct cprof_levels *levels = &segment.geometry.stack_index;
	uint32_t hash = hash_frames(frames, frame_count, flags);
	uint32_t stored = 0;
	for (uint32_t level = 0; level < levels->level_count; level++) {
		cprof_stack_slot *bucket = segment_stack_bucket(cprof_levels_bucket(levels, level, hash));
		for (uint32_t i = 0; i < CPROF_BUCKET_SLOTS; i++) {
			/* Acquire: pairs with the CAS below; else we see the id before the frames. */
			uint64_t slot = load_acquire(&bucket[i]);
			while (slot == 0) {
				if (!stored)
					stored = store(hash, frames, frame_count, flags);
				if (!stored)
					goto full;
				/* On failure `slot` is what somebody else put there: judged below. */
				if (cas_acq_rel(&bucket[i], &slot, (uint64_t)hash << 32 | stored)) {
					segment_raise(&segment_control()->stack_levels_used, level + 1);
					return stored;
				}
			}
			if ((uint32_t)(slot >> 32) == hash &&
			    stack_equals((uint32_t)slot, frames, frame_count, flags))
				return (uint32_t)slot; /* `stored`, if any, stays unused: rare and small */
		}
	}
full:
	segment_count(CPROF_STACK_TABLE_FULL, 1);
	return 0;
}
