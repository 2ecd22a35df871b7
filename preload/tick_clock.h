/* SPDX-License-Identifier: MIT */
/*
 * CLOCK_MONOTONIC by the processor's counter (include/cprof_ticks.h): a moment that the thread knows
 * in both, and the ticks since.  The moment is renewed every few milliseconds, so a rate that is
 * a little wrong, or a clock that is being corrected, makes no difference.
 *
 * The moment's ticks are read before its nanoseconds: what is computed from it is late
 * by some nanoseconds, never before what the thread has seen on the clock.
 *
 * Context: any (async-signal-safe), on the thread whose moment it is.
 */
#ifndef PRELOAD_TICK_CLOCK_H
#define PRELOAD_TICK_CLOCK_H

#include "cprof_atomic.h"
#include "cprof_compiler.h"
#include "cprof_ticks.h"

/*
 * Most calls that do not wait take less, also of those that send through the loopback device, and
 * a thread that sleeps takes about as long to wake up.  Go's scheduler, too, takes a call for one
 * that blocks after 20 us (sysmon, in its proc.go).
 */
#define CONTENTION_CALL_NS_MIN UINT64_C(20000)

struct tick_moment {
	uint64_t ticks; /* 0: none is known */
	uint64_t ns;
	uint64_t rate;       /* as it was then, or before */
	uint64_t call_ticks; /* CONTENTION_CALL_NS_MIN at that rate */
};

/*
 * Reads the clock, and makes that and *ticks, which were read just before, the moment.  May call,
 * as the clock may.  *ticks becomes 0 if nobody knows their rate.
 */
uint64_t tick_moment_renew(struct tick_moment *moment, uint64_t *ticks);

/* The clock at `ticks`, which were read just before.  False: it is time to renew the moment. */
static ALWAYS_INLINE bool tick_clock_ns(const struct tick_moment *moment, uint64_t ticks, uint64_t *out_ns)
{
	/* In this order: if a handler renews it from here on, its ticks lie behind these. */
	fence_signal();
	uint64_t ns = moment->ns;
	fence_signal();
	uint64_t passed = ticks - moment->ticks;
	if (unlikely(passed >= CPROF_TICKS_MAX))
		return false;
	*out_ns = ns + cprof_ticks_ns(passed, moment->rate);
	return true;
}

/* The clock, now. */
static ALWAYS_INLINE uint64_t tick_clock_now(struct tick_moment *moment)
{
	uint64_t ticks = cprof_ticks();
	uint64_t ns;
	return likely(tick_clock_ns(moment, ticks, &ns)) ? ns : tick_moment_renew(moment, &ticks);
}

#endif
