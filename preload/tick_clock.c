/* SPDX-License-Identifier: MIT */
/*
 * A thread may be interrupted between the counter and the clock: what it has then is no moment.
 *
 * Context: any (async-signal-safe).
 */
#include "tick_clock.h"

#include "real.h"
#include "segment.h"

/* A moment that was taken faster is good: a tenth of a microsecond or so, what both take if they are cached. */
#define GOOD_TICKS 256u
#define TRIES 3

/* About a microsecond: longer, and it was interrupted. */
#define MOMENT_TICKS_MAX 4096u

COLD uint64_t tick_moment_renew(struct tick_moment *moment, uint64_t *ticks)
{
	/* Relaxed: a rate that comes, or goes, at this moment holds from the next one on. */
	uint64_t rate = load_relaxed(&segment_control()->tick_rate);
	bool is_known = cprof_tick_rate_is_valid(rate);
	uint64_t before = *ticks;
	uint64_t ns = real_monotonic_ns();
	for (int i = 1; is_known && i < TRIES && cprof_ticks() - before >= GOOD_TICKS; i++) {
		before = cprof_ticks();
		ns = real_monotonic_ns();
	}
	moment->ticks = 0;
	fence_signal(); /* a handler in between finds no moment, or its own is gone */
	if (!is_known) {
		*ticks = 0; /* calls under way still have the former rate */
		return ns;
	}
	moment->ns = ns;
	moment->rate = rate;
	moment->call_ticks = (CONTENTION_CALL_NS_MIN << CPROF_TICK_SHIFT) / rate;
	fence_signal();
	/* Zero else: a handler's ticks may be there. */
	moment->ticks = cprof_ticks() - before < MOMENT_TICKS_MAX ? before : 0;
	fence_signal();
	/* A handler's nanoseconds with these ticks are no moment either. */
	if (unlikely(moment->ns != ns))
		moment->ticks = 0;
	return ns;
}
