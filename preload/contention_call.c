/* SPDX-License-Identifier: MIT */
/*
 * Most calls that may block do not: a server makes them by the hundred thousand a second.
 * So both ends have a short way, which reads the clock and shows the wait, and needs no guard
 * for that.  Whatever is unusual, and each call that takes long enough to leave an event,
 * goes the way of all waits.
 *
 * Context: any (async-signal-safe).
 */
#include "contention.h"
#include "process.h"
#include "real.h"
#include "segment.h"
#include "thread.h"

/* Whether this thread's slot shows nothing, and has room for a wait. */
static ALWAYS_INLINE bool may_show(const struct cprof_thread *slot)
{
	/* Relaxed: only this thread writes it. */
	return slot && load_relaxed(&slot->waiting.what) == CPROF_WAIT_NONE;
}

HOT void contention_call_begin(struct contention_wait *out_wait, enum cprof_wait what, const void *object,
			       const void *function, const struct unwind_regs *regs)
{
	struct cprof_thread *slot = thread_tls.slot;
	if (unlikely(!process_is_recording() || thread_tls.state != THREAD_LIVE || !may_show(slot) ||
		     !process_may_call())) {
		contention_wait_begin(out_wait, what, object, function, regs);
		return;
	}
	out_wait->is_watched = true;
	out_wait->is_walked = false;
	out_wait->what = what;
	out_wait->object = object;
	out_wait->image = segment_control()->pid;
	out_wait->function = function;
	out_wait->regs = regs;
	out_wait->start_ns = real_monotonic_ns();
	out_wait->rate_ns = 0; /* it is in no profile */
	out_wait->waiters = NULL;
	const struct publication publication = contention_publication(out_wait);
	out_wait->slot = contention_publish(slot, &publication) ? slot : NULL;
}

HOT void contention_call_end(struct contention_wait *wait, enum contention_end end)
{
	if (unlikely(!wait->is_watched))
		return;
	/* Of a handler that forked during the call nothing is the child's. */
	if (unlikely(!wait->slot || !process_is_recording() || segment_control()->pid != wait->image ||
		     real_monotonic_ns() - wait->start_ns >= CONTENTION_CALL_NS_MIN ||
		     !contention_withdraw_only(wait->slot, wait->start_ns, wait->regs->sp)))
		contention_wait_end(wait, end);
}
