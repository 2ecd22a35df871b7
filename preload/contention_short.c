/* SPDX-License-Identifier: MIT */
/*
 * The short way of waits that are in a trace and in no profile.  They are what a program does
 * between two switches of threads, after which little of it is in the caches: so this way is in
 * few lines of code and data, reads the processor's counter (tick_clock.h), and calls only what
 * finds a stack that came before and what notes an event.  Whatever is unusual goes the way of
 * all waits (contention.c).
 *
 * Context: any (async-signal-safe).
 */
#include "contention_show.h"
#include "contention_wait.h"
#include "record.h"
#include "stack_memo.h"
#include "thread_guard.h"

/* Relaxed: rates may change at any time; this wait keeps what it began with. */
static ALWAYS_INLINE bool is_profiled(uint32_t what)
{
	const struct cprof_control *control = segment_control();
	return load_relaxed(&control->block_rate_ns) != 0 ||
	       (contention_is_lock(what) && load_relaxed(&control->mutex_fraction) != 0);
}

/* A stack that did not come before. */
static COLD uint32_t walk(struct cprof_thread *slot, const void *function, const struct unwind_regs *regs)
{
	struct guard guard;
	guard_fill(&guard, slot, 0);
	return record_stack_above(&guard, function, regs);
}

HOT void contention_wait_begin(struct contention_wait *out_wait, enum cprof_wait what, const void *object,
			       const void *function, const struct unwind_regs *regs)
{
	struct cprof_thread *slot = thread_tls.slot;
	if (unlikely(!guard_is_free(slot) || !process_may_call() || !trace_is_on() ||
		     contention_is_call(what) || is_profiled(what) || !contention_may_show(&slot->waiting))) {
		contention_wait_begin_any(out_wait, what, object, function, regs);
		return;
	}
	guard_hold_outermost(slot);
	uint64_t start_ns = tick_clock_now(&thread_private_of(slot)->moment);
	contention_expect_wake(what, object);
	uint32_t stack = stack_memo_known_above(slot, function, regs);
	const struct publication publication = {
		.what = what,
		.stack = stack,
		.object = (uint64_t)(uintptr_t)object,
		.since_ns = start_ns,
		.function = (uint64_t)(uintptr_t)function,
		.pc = regs->pc,
		.sp = regs->sp,
		.fp = regs->fp,
	};
	contention_show(&slot->waiting, &publication);
	if (unlikely(!stack)) {
		stack = walk(slot, function, regs);
		contention_publish_stack(slot, stack);
	}
	out_wait->is_watched = true;
	out_wait->is_short = true;
	out_wait->is_walked = true;
	out_wait->what = what;
	out_wait->object = object;
	out_wait->image = thread_private_of(slot)->image;
	out_wait->stack = stack;
	out_wait->regs = regs;
	out_wait->start_ns = start_ns;
	out_wait->rate_ns = 0;
	out_wait->waiters = NULL;
	out_wait->slot = slot;
	guard_release_outermost();
}

HOT void contention_wait_end(struct contention_wait *wait, enum contention_end end)
{
	struct cprof_thread *slot = thread_tls.slot;
	/* If a handler forked during the wait the child does not record, or has another slot. */
	if (unlikely(!wait->is_short || wait->slot != slot || !guard_is_free(slot) || !process_may_call() ||
		     load_relaxed(&slot->waiting.sp) != wait->regs->sp || /* only this thread writes it */
		     !contention_withdraw_only(slot, wait->start_ns))) {
		contention_wait_end_any(wait, end);
		return;
	}
	guard_hold_outermost(slot);
	contention_expect_no_wake(wait->what, wait->object);
	uint64_t now = tick_clock_now(&thread_private_of(slot)->moment);
	if (likely(end != CONTENTION_NO_WAIT && trace_is_on()))
		trace_event_outermost(slot,
				      &(struct trace_event){
					      .kind = CPROF_EVENT_WAIT,
					      .what = (uint32_t)wait->what,
					      .flags = end == CONTENTION_GAVE_UP ? CPROF_EVENT_GAVE_UP : 0,
					      .stack = wait->stack,
					      .time_ns = now,
					      .a = now > wait->start_ns ? now - wait->start_ns : 0,
					      .b = (uint64_t)(uintptr_t)wait->object,
				      });
	guard_release_outermost();
}

HOT void contention_wake_record(const struct contention_wake *wake, const void *function,
				const struct unwind_regs *regs)
{
	struct cprof_thread *slot = thread_tls.slot;
	if (unlikely(!guard_is_free(slot) || !process_may_call())) {
		contention_wake_record_any(wake, function, regs);
		return;
	}
	guard_hold_outermost(slot);
	uint32_t stack = stack_memo_known_above(slot, function, regs);
	if (unlikely(!stack))
		stack = walk(slot, function, regs);
	const struct trace_event event = contention_wake_event(wake, stack);
	trace_event_outermost(slot, &event);
	guard_release_outermost();
}
