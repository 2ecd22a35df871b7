/* SPDX-License-Identifier: MIT */
/*
 * The system call in between leaves little in the caches, so lines and pages count, of code as
 * well: the thread's slot is touched in two lines, the process's own variables lie in one page
 * (TOGETHER), and what may be needed only later is not prepared.
 *
 * Context: any (async-signal-safe).
 */
#include "contention_call.h"

#include "contention_show.h"
#include "process.h"
#include "real.h"
#include "thread.h"

/* As any wait. */
static COLD void begin_as_wait(struct contention_call *out_call, enum cprof_wait what, const void *object,
			       const void *function, const uint64_t *frame)
{
	out_call->slot = NULL;
	unwind_regs_of_frame(frame, &out_call->regs);
	contention_wait_begin(&out_call->wait, what, object, function, &out_call->regs);
}

static ALWAYS_INLINE void show(struct contention_call *out_call, struct cprof_thread *slot, uint64_t ticks,
			       uint64_t ns, enum cprof_wait what, const void *object, const void *function,
			       const uint64_t *frame)
{
	const struct publication publication = {
		.what = what,
		.object = (uint64_t)(uintptr_t)object,
		.since_ns = ns,
		.function = (uint64_t)(uintptr_t)function,
		.pc = frame[1],
		.sp = (uint64_t)(frame + 2),
		.fp = frame[0],
	};
	out_call->slot = slot;
	out_call->start_ns = ns;
	out_call->start_ticks = ticks;
	out_call->frame = frame;
	out_call->what = what;
	out_call->object = object;
	out_call->image = thread_private_of(slot)->image;
	out_call->function = function;
	contention_show(&slot->waiting, &publication);
}

/* When it is time to look at the clock, or this is no call for the short way. */
static COLD void begin_by_clock(struct contention_call *out_call, enum cprof_wait what, const void *object,
				const void *function, const uint64_t *frame)
{
	struct cprof_thread *slot = thread_tls.slot;
	if (!contention_may_show(&slot->waiting)) {
		begin_as_wait(out_call, what, object, function, frame);
		return;
	}
	uint64_t ticks = cprof_ticks();
	uint64_t ns = tick_moment_renew(&thread_private_of(slot)->moment, &ticks);
	show(out_call, slot, ticks, ns, what, object, function, frame);
}

/* Calls others only at its end, so that it need not save registers. */
HOT void contention_call_begin(struct contention_call *out_call, enum cprof_wait what, const void *object,
			       const void *function, const uint64_t *frame)
{
	struct cprof_thread *slot = thread_tls.slot;
	uint64_t ns;
	if (unlikely(!slot || !process_is_recording() || !process_may_call())) {
		begin_as_wait(out_call, what, object, function, frame);
		return;
	}
	uint64_t ticks = cprof_ticks();
	if (unlikely(!contention_may_show(&slot->waiting) ||
		     !tick_clock_ns(&thread_private_of(slot)->moment, ticks, &ns))) {
		begin_by_clock(out_call, what, object, function, frame);
		return;
	}
	show(out_call, slot, ticks, ns, what, object, function, frame);
}

/* What took long, or how long is not known by ticks. */
static COLD void end_as_wait(struct contention_call *call, enum contention_end end)
{
	if (!call->slot) {
		contention_wait_end(&call->wait, end);
		return;
	}
	if (call->start_ticks == 0 && process_is_recording() &&
	    real_monotonic_ns() - call->start_ns < CONTENTION_CALL_NS_MIN &&
	    contention_withdraw_only(call->slot, call->start_ns))
		return;
	unwind_regs_of_frame(call->frame, &call->regs);
	call->wait = (struct contention_wait){
		.is_watched = true,
		.what = call->what,
		.object = call->object,
		.image = call->image,
		.function = call->function,
		.regs = &call->regs,
		.start_ns = call->start_ns,
		.slot = call->slot,
	};
	contention_wait_end(&call->wait, end);
}

HOT void contention_call_end(struct contention_call *call, enum contention_end end)
{
	/* If a handler forked during the call nothing is the child's: its segment shows no such wait. */
	if (unlikely(!call->slot || !process_is_recording() ||
		     cprof_ticks() - call->start_ticks >= thread_private_of(call->slot)->moment.call_ticks ||
		     !contention_withdraw_only(call->slot, call->start_ns)))
		end_as_wait(call, end);
}
