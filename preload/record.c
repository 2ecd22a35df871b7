/* SPDX-License-Identifier: MIT */
/*
 * The common end of every sample.  A full ring is no loss: the producer adds to the
 * producer halves of the totals itself, with additions that need no order
 * among each other (the reader takes sums, not histories).
 *
 * Context: any (async-signal-safe).
 */
#include "record.h"

#include "cprof_ring.h"
#include "modules.h"
#include "segment.h"
#include "stack_memo.h"
#include "stack_table.h"

/* In how many places the totals of one key may be. */
#define TOTALS_SHARES 4u
/* In which levels of the totals threads have some of their own: 4608 places. */
#define OWN_LEVELS 2u
/* Slots lie an odd number of these apart, so that neighbours have different shares. */
#define SLOT_UNIT_BYTES 8192u
_Static_assert(sizeof(struct cprof_thread) % (2 * SLOT_UNIT_BYTES) == SLOT_UNIT_BYTES, "no division needed");

/*
 * Walks behind the frames that are there already, and interns all of them.  The memo (or NULL) learns
 * what is whole.
 */
static ALWAYS_INLINE uint32_t walk_and_intern(const struct guard *guard, uint32_t frame_count,
					      const struct unwind_regs *regs, struct stack_memo *memo)
{
	uint16_t flags = 0;
	frame_count += unwind_walk(regs, &guard->bounds, guard->frames + frame_count,
				   CPROF_STACK_FRAMES_MAX - frame_count, &flags);
	if (flags & CPROF_STACK_TRUNCATED)
		segment_count(CPROF_STACKS_TRUNCATED, 1);
	if (flags & CPROF_STACK_BROKEN)
		segment_count(CPROF_STACKS_BROKEN, 1);
	uint32_t stack = frame_count ? stack_table_intern(guard->frames, frame_count, flags) : 0;
	if (!stack)
		segment_count(CPROF_STACKS_MISSING, 1);
	else if (memo && !flags)
		stack_memo_learn(memo, guard, regs, frame_count, stack);
	return stack;
}

static ALWAYS_INLINE bool has_room(const struct guard *guard)
{
	uint64_t here = (uint64_t)(uintptr_t)__builtin_frame_address(0);
	/* Below the lower bound, where the bounds are not known or it is another stack, it is a large number. */
	return here - guard->bounds.low >= RECORD_STACK_BYTES;
}

/* Whether anything can be unwound. */
static ALWAYS_INLINE bool has_frames(const struct guard *guard)
{
	if (likely(guard->frames && has_room(guard)))
		return true;
	segment_count(CPROF_NESTED_TOO_DEEP, 1);
	segment_count(CPROF_STACKS_MISSING, 1);
	return false;
}

uint32_t record_stack(const struct guard *guard, const struct unwind_regs *regs)
{
	return has_frames(guard) ? walk_and_intern(guard, 0, regs, NULL) : 0;
}

uint32_t record_stack_again(const struct guard *guard, const struct unwind_regs *regs)
{
	if (!has_frames(guard))
		return 0;
	struct stack_memo *memo = stack_memo_at(guard, regs);
	uint32_t stack = memo ? stack_memo_find(memo, guard, regs) : 0;
	return likely(stack) ? stack : walk_and_intern(guard, 0, regs, memo);
}

uint32_t record_stack_above(const struct guard *guard, const void *function, const struct unwind_regs *regs)
{
	uint64_t pc = (uint64_t)(uintptr_t)function;
	struct module_ref module;
	if (!has_frames(guard))
		return 0;
	struct stack_memo *memo = stack_memo_above(guard, function, regs);
	uint32_t stack = memo ? stack_memo_find(memo, guard, regs) : 0;
	if (likely(stack))
		return stack;
	guard->frames[0] = modules_lookup(pc, &module) && module.row != CPROF_MODULE_NONE
				   ? modules_frame_base[module.row] + pc
				   : cprof_frame(CPROF_MODULE_NONE, pc);
	guard->frames[0] |= CPROF_FRAME_EXACT;
	return walk_and_intern(guard, 1, regs, memo);
}

static void count_lost(uint32_t kind, uint64_t weight, uint64_t value)
{
	struct cprof_lost lost;
	segment_count(CPROF_TOTALS_FULL, 1);
	if (!cprof_lost_of(kind, &lost))
		return;
	segment_count(lost.weight, weight / CPROF_WEIGHT_ONE);
	if (lost.value < CPROF_COUNTER_COUNT)
		segment_count(lost.value, value);
}

/* The sums of a key where this hash leads, in the first levels of the table; NULL: no room. */
static ALWAYS_INLINE struct cprof_sums *totals_at(uint64_t hash, uint64_t key, uint32_t level_count)
{
	for (uint32_t level = 0; level < level_count; level++) {
		struct cprof_total_bucket *bucket =
			segment_total_bucket(cprof_levels_bucket(&segment.geometry.totals, level, hash));
		for (uint32_t i = 0; i < CPROF_BUCKET_SLOTS; i++) {
			/* Relaxed: the key guards nothing but itself; the sums start at 0. */
			uint64_t found = load_relaxed(&bucket->key[i]);
			if (found == 0 && cas_acq_rel(&bucket->key[i], &found, key)) {
				segment_raise(&segment_control()->total_levels_used, level + 1);
				found = key;
			}
			if (found == key)
				return &bucket->sums[i];
		}
	}
	return NULL;
}

/*
 * Threads that record the same stack at the same time would pass one cache line to and fro,
 * so neighbours among the slots keep totals of their own for a key; the reader adds up
 * whatever has the same key.  Share 0 is the one that the collector keeps.
 */
static void totals_add(const struct cprof_thread *slot, uint64_t key, uint64_t weight, uint64_t value)
{
	const uint32_t level_count = segment.geometry.totals.level_count;
	uint64_t share = (uint64_t)(uintptr_t)slot / SLOT_UNIT_BYTES % TOTALS_SHARES;
	struct cprof_sums *sums = totals_at(cprof_mix64(key + share), key, level_count);
	if (!sums && share != 0)
		sums = totals_at(cprof_mix64(key), key, level_count);
	if (!sums) {
		count_lost(cprof_total_key_kind(key), weight, value);
		return;
	}
	add_relaxed(&sums->producer_value, value);
	add_relaxed(&sums->producer_weight, weight);
}

/*
 * The thread's own total of a key whose stack keeps coming back, or NULL.  In the table's first
 * levels only: where there are many stacks, each of them once for each thread would be too many.
 */
static struct cprof_sums *totals_own(const struct cprof_thread *slot, uint64_t key)
{
	const uint32_t owner = (uint32_t)(slot - segment_thread(0)) + 1;
	uint32_t level_count = segment.geometry.totals.level_count;
	if (owner > CPROF_TOTAL_OWNERS)
		return NULL;
	if (level_count > OWN_LEVELS)
		level_count = OWN_LEVELS;
	key = cprof_total_key_owned(key, owner);
	/* In both of these levels neighbours among the slots have different buckets, and so cache lines. */
	uint64_t hash = (cprof_mix64(key) & ~UINT64_C(63)) | owner % 8 * 9;
	return totals_at(hash, key, level_count);
}

void record_add_labelled(const struct guard *guard, uint32_t stack, enum cprof_kind kind, uint32_t labels,
			 uint64_t weight, uint64_t value)
{
	if (guard->slot && ring_push(guard->slot, stack, kind, labels, weight, value))
		return;
	totals_add(guard->slot, cprof_total_key(stack, kind, labels), weight, value);
}

uint32_t record_again(const struct guard *guard, const struct unwind_regs *regs, enum cprof_kind kind,
		      uint64_t weight, uint64_t value)
{
	const uint32_t labels = thread_tls.labels;
	const bool can_walk = has_frames(guard);
	struct stack_memo *memo = can_walk ? stack_memo_at(guard, regs) : NULL;
	uint32_t stack = memo ? stack_memo_find(memo, guard, regs) : 0;
	if (!stack) {
		stack = can_walk ? walk_and_intern(guard, 0, regs, memo) : 0;
		record_add_labelled(guard, stack, kind, labels, weight, value);
		return stack;
	}
	if (ring_push(guard->slot, stack, kind, labels, weight, value))
		return stack;
	uint64_t key = cprof_total_key(stack, kind, labels);
	if (memo->total_key != key) {
		memo->total_key = 0;
		fence_signal(); /* a handler may jump out of here: none is known until both are */
		memo->total = totals_own(guard->slot, key);
		fence_signal();
		memo->total_key = key;
	}
	if (memo->total) {
		add_own(&memo->total->producer_value, value);
		add_own(&memo->total->producer_weight, weight);
	} else {
		totals_add(guard->slot, key, weight, value);
	}
	return stack;
}
