/* SPDX-License-Identifier: MIT */
/*
 * Slots are found by walking the table from where the last one was found; a slot is
 * taken and given back by a CAS of its state.  Nothing is allocated and nobody waits.
 *
 * Context: any (async-signal-safe).
 */
#include "thread.h"

#include <signal.h>

#include "annotate.h"
#include "contention.h"
#include "cpu_timer.h"
#include "process.h"
#include "segment.h"
#include "stray.h"
#include "sys.h"
#include "thread_guard.h"
#include "thread_private.h"
#include "trace.h"

__thread struct thread_tls thread_tls;

struct unwind_bounds thread_main_bounds;

/* Where the last free slot was found: a hint, any thread writes it. */
static atomic_u32 slot_hint;

/* Scratch for threads without a slot: taken by whoever sets its word from 0 to 1. */
#define POOL_COUNT 16
static SPARSE struct {
	atomic_u32 taken;
	uint64_t frames[CPROF_STACK_FRAMES_MAX];
} pool[POOL_COUNT];

uint32_t thread_id(void)
{
	return process_may_call() ? (uint32_t)sys_call0(SYS_gettid) : 0;
}

uint64_t thread_random(void)
{
	/* SplitMix64 (Steele, Lea, Flood 2014), seeded at the first use. */
	if (thread_tls.random_state == 0) {
		uint64_t seed = 0;
		if (!process_may_call() ||
		    sys_call3(SYS_getrandom, (long)&seed, sizeof seed, 0) != sizeof seed || seed == 0) {
			/* No entropy to be had: thread id and stack address still tell threads apart. */
			seed = cprof_mix64((uint64_t)thread_id() << 32 ^ (uint64_t)(uintptr_t)&seed) | 1;
		}
		thread_tls.random_state = seed;
	}
	return cprof_mix64(thread_tls.random_state += UINT64_C(0x9e3779b97f4a7c15));
}

struct cprof_thread *thread_slot_take(void)
{
	uint32_t count = segment.geometry.thread_count;
	uint32_t start = load_relaxed(&slot_hint); /* a hint */
	for (uint32_t i = 0; i < count; i++) {
		uint32_t index = (start + i) % count;
		struct cprof_thread *slot = segment_thread(index);
		/* Acquire: pairs with the release of ENDED; what its ring still holds stays in it. */
		uint32_t state = load_acquire(&slot->state);
		if ((state != CPROF_THREAD_FREE && state != CPROF_THREAD_ENDED) ||
		    !cas_acq_rel(&slot->state, &state, CPROF_THREAD_STARTING))
			continue;
		/* A hint: low slots are used again, so few pages are touched. */
		store_relaxed(&slot_hint, index);
		segment_raise(&segment_control()->threads_used, index + 1);
		add_relaxed(&slot->generation, 1); /* for readers of dumps only */
		trace_slot_begins(slot);
		/* What the slot's last thread left for dumps; published by LIVE. */
		store_relaxed(&slot->created_by, UINT32_C(0));
		store_relaxed(&slot->name[0], UINT64_C(0));
		store_relaxed(&slot->name[1], UINT64_C(0));
		store_relaxed(&slot->waiting.what, (uint32_t)CPROF_WAIT_NONE);
		segment_count(CPROF_THREADS_STARTED, 1);
		return slot;
	}
	return NULL;
}

void thread_slot_untake(struct cprof_thread *slot)
{
	store_release(&slot->state, (uint32_t)CPROF_THREAD_FREE); /* nothing was recorded in it */
}

void thread_attach(struct cprof_thread *slot, const struct unwind_bounds *bounds)
{
	if (!slot)
		slot = thread_slot_take();
	if (slot) {
		store_relaxed(&slot->tid, thread_id()); /* published by state */
		store_relaxed(&slot->stack_low, bounds->low);
		store_relaxed(&slot->stack_high, bounds->high);
		contention_show_nothing(slot);
		thread_private_of(slot)->image = segment_control()->pid;
		annotate_thread_begins(slot);
		store_release(&slot->state, (uint32_t)CPROF_THREAD_LIVE);
	} else {
		/* Here, not where it was taken: its creator may have looked for one in vain as well. */
		segment_count(CPROF_THREADS_NO_SLOT, 1);
	}
	thread_tls.slot = slot;
	thread_tls.bounds = *bounds;
	fence_signal(); /* a handler must find the slot once it sees the thread LIVE */
	thread_tls.state = THREAD_LIVE;
	cpu_timer_start();
}

void thread_detach(void)
{
	struct cprof_thread *slot = thread_tls.slot;
	if (slot)
		stray_leave(load_relaxed(&slot->tid)); /* its own */
	cpu_timer_stop();
	thread_tls.state = THREAD_GONE;
	thread_tls.slot = NULL;
	fence_signal(); /* no handler may use the slot any more */
	if (slot && process_is_recording()) {
		contention_thread_ends(slot);
		trace_slot_ends(slot);
		store_release(&slot->state, (uint32_t)CPROF_THREAD_ENDED); /* after its last record */
	}
}

void thread_forget(void)
{
	for (int32_t i = 0; i < POOL_COUNT; i++)
		store_relaxed(&pool[i].taken, UINT32_C(0)); /* whoever had them is not here */
	stray_forget();
	thread_tls.slot = NULL;
	thread_tls.state = THREAD_NEW;
	thread_tls.drawn_rate_bytes = 0;
	thread_tls.countdown_bytes = 0;
	thread_tls.random_state = 0;            /* parent and child must not draw the same numbers */
	store_relaxed(&slot_hint, UINT32_C(0)); /* a hint */
	/* One that was armed in fork's child branch is this process's own; others were not inherited. */
	thread_tls.has_timer = thread_tls.has_timer && process_is_armed();
}

/*
 * A thread that pthread_create's trampoline did not see: the main one, one of clone()'s,
 * or the one that goes on in a forked child, whose stack is known already.
 */
static void attach_unknown(void)
{
	struct unwind_bounds bounds = thread_tls.bounds;
	uint64_t here = (uint64_t)(uintptr_t)&bounds;
	if (bounds.high == 0 && here >= thread_main_bounds.low && here < thread_main_bounds.high)
		bounds = thread_main_bounds;
	uint32_t tid = thread_id();
	if (tid == 0 || tid == (uint32_t)sys_call0(SYS_getpid)) {
		thread_attach(NULL, &bounds);
		return;
	}
	int stray = stray_begin(tid);
	if (stray >= 0) {
		thread_attach(NULL, &bounds);
		stray_remember(stray, thread_tls.slot, thread_tls.has_timer ? thread_tls.timer_id : -1);
	} else {
		segment_count(CPROF_THREADS_NO_SLOT, 1);
		thread_tls.bounds = bounds;
		thread_tls.state = THREAD_LIVE;
	}
}

static bool is_within(const struct unwind_bounds *bounds, uint64_t address)
{
	return address >= bounds->low && address < bounds->high;
}

bool thread_has_left(uint64_t frame, uint64_t here, const struct unwind_bounds *bounds)
{
	bool is_on_own_stack = is_within(bounds, here);
	if (is_on_own_stack == is_within(bounds, frame) ? here < frame : !is_on_own_stack)
		return false;
	/* An alternate stack may lie above what it interrupts, even in the thread's own: in main()'s frame. */
	stack_t alternate;
	if (!process_may_call() || sys_call2(SYS_sigaltstack, 0, (long)&alternate) != 0)
		return false;
	uint64_t low = (uint64_t)(uintptr_t)alternate.ss_sp;
	const struct unwind_bounds handlers = {.low = low, .high = low + alternate.ss_size};
	return !(alternate.ss_flags & SS_ONSTACK) || is_within(&handlers, frame);
}

static void borrow_from_pool(struct guard *guard)
{
	for (int32_t i = 0; i < POOL_COUNT; i++)
		if (exchange_acquire(&pool[i].taken, UINT32_C(1)) == 0) {
			guard->pool_index = i;
			guard->frames = pool[i].frames;
			return;
		}
}

/* Whether the guard at `holder` is no more, as it lies below a newer one in the thread's own stack. */
static bool is_left(const struct unwind_bounds *bounds, uint64_t holder, uint64_t here)
{
	return is_within(bounds, holder) && is_within(bounds, here) && thread_has_left(holder, here, bounds);
}

/* The level of a guard at `here`, when there are `level` others. */
static COLD uint32_t level_within(struct cprof_thread *slot, uint32_t level, uint64_t here)
{
	if (!slot)
		return level;
	const uint64_t *holders = thread_private_of(slot)->holders;
	while (level > 0 && is_left(&thread_tls.bounds, holders[level - 1], here))
		level--;
	if (level == 0)
		contention_mend(slot);
	return level;
}

/* A thread that begins, a handler, a thread without a slot, or a process that does not record. */
static NOINLINE bool enter_unusual(struct guard *out_guard)
{
	if (!process_is_recording() && !process_ensure_recording())
		return false;
	if (thread_tls.state == THREAD_NEW)
		attach_unknown();
	struct cprof_thread *slot = thread_tls.slot;
	uint32_t level = thread_tls.nesting;
	if (level != 0)
		level = level_within(slot, level, (uint64_t)(uintptr_t)out_guard);
	if (likely(slot && level < CPROF_SCRATCH_LEVELS)) {
		guard_hold_level(slot, level, (uint64_t)(uintptr_t)out_guard);
		guard_fill(out_guard, slot, level);
		return true;
	}
	out_guard->slot = slot;
	out_guard->frames = NULL;
	out_guard->bounds = thread_tls.bounds;
	out_guard->pool_index = -1;
	out_guard->level = level;
	if (!slot)
		borrow_from_pool(out_guard);
	return true;
}

bool guard_enter(struct guard *out_guard)
{
	struct cprof_thread *slot = thread_tls.slot;
	if (unlikely(!guard_is_free(slot)))
		return enter_unusual(out_guard);
	guard_hold_level(slot, 0, (uint64_t)(uintptr_t)out_guard);
	guard_fill(out_guard, slot, 0);
	return true;
}

void guard_leave(struct guard *guard)
{
	if (unlikely(guard->pool_index >= 0))
		store_release(&pool[guard->pool_index].taken, UINT32_C(0)); /* pairs with the exchange */
	fence_signal(); /* the scratch is free before the level is */
	thread_tls.nesting = (uint8_t)guard->level;
}
