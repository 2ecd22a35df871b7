/* SPDX-License-Identifier: MIT */
/*
 * Another collector in place of one that is dead, with the process that guards it.  Whoever
 * of the tree notices starts it, at most once a minute each; the others find it.
 *
 *   noticed by        because                              the segment then
 *   a CPU sample      the heart stands still for 3 s, or   is registered again, if nothing is
 *                     nobody was there at its start        lost by that (segment_copy.h)
 *   a forked child    nobody listens at its registration   is registered
 *   a process's end   nobody listens, or another one       is registered again, in any case
 *
 * Only a collector that has worked before is replaced, or one that is left behind in
 * another network namespace.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_REVIVE_H
#define PRELOAD_REVIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "cprof_atomic.h"
#include "cprof_compiler.h"
#include "segment.h"
#include "session.h"

/* Hints of all threads' samples: a wrong one makes a look at the clock early or late. */
extern atomic_u32 revive_beat_seen __attribute__((visibility("hidden")));
extern atomic_u32 revive_quiet_samples __attribute__((visibility("hidden")));

/* So many samples without a beat. */
#define REVIVE_QUIET_SAMPLES 64u
void revive_look(void);

/* After a sample, in the handler: looks, now and then, whether the collector is alive. */
static ALWAYS_INLINE void revive_watch(void)
{
	uint32_t beat = load_relaxed(&segment_control()->heartbeat); /* only its changing matters */
	if (beat != load_relaxed(&revive_beat_seen)) {
		store_relaxed(&revive_beat_seen, beat);
		store_relaxed(&revive_quiet_samples, UINT32_C(0));
		return;
	}
	uint32_t quiet = load_relaxed(&revive_quiet_samples) + 1;
	store_relaxed(&revive_quiet_samples, quiet);
	if (unlikely(quiet % REVIVE_QUIET_SAMPLES == 0))
		revive_look();
}

/* In a forked child, before it has a segment of its own. */
void revive_inherit(void);

/*
 * As session_register(), with a collector that is started for it if there is none.  Waits, at most 50 ms, only
 * for one that no longer listens but is not gone.
 */
int revive_register(int segment_fd, uint32_t pid, bool is_first, enum session_turn turn);

/* At the end of a process whose collector is not there.  0 or -errno: nobody has its segment. */
int revive_at_end(uint32_t pid, bool is_first);

#endif
