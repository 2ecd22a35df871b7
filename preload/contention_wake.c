/* SPDX-License-Identifier: MIT */
/*
 * The count of a word never goes below 0: a forked child forgets waits that it goes on
 * with when a handler in one of them forked.
 *
 * Context: any (async-signal-safe).
 */
#include "contention_wake.h"

#include "process.h"
#include "real.h"
#include "record.h"
#include "thread_private.h"

SPARSE atomic_u32 contention_wake_filter[CONTENTION_WAKE_WORDS];

void contention_wake_expect(const void *object)
{
	add_relaxed(contention_wake_word(object), UINT32_C(1)); /* see contention_may_wake() */
}

void contention_wake_expect_no_more(const void *object)
{
	atomic_u32 *word = contention_wake_word(object);
	uint32_t seen = load_relaxed(word); /* the CAS decides */
	while (seen != 0 && !cas_acq_rel(word, &seen, seen - 1))
		;
}

HOT uint64_t contention_wake_time(void)
{
	if (unlikely(!process_may_call()))
		return 0;
	struct cprof_thread *slot = thread_tls.slot;
	if (unlikely(!slot || !process_is_recording()))
		return real_monotonic_ns();
	return tick_clock_now(&thread_private_of(slot)->moment);
}

void contention_wake_add(const struct guard *guard, const struct contention_wake *wake, uint32_t stack)
{
	const struct trace_event event = contention_wake_event(wake, stack);
	trace_event(guard, &event);
}

void contention_wake_record_any(const struct contention_wake *wake, const void *function,
				const struct unwind_regs *regs)
{
	struct guard guard;
	/* In a forked child that has not registered it is nobody who waits in the trace. */
	if (!process_is_recording() || !guard_enter(&guard))
		return;
	contention_wake_add(&guard, wake, record_stack_above(&guard, function, regs));
	guard_leave(&guard);
}

void contention_wake_forget(void)
{
	for (uint32_t i = 0; i < CONTENTION_WAKE_WORDS; i++)
		store_relaxed(&contention_wake_filter[i], UINT32_C(0)); /* one thread so far */
}
