/* SPDX-License-Identifier: MIT */
/*
 * CLOCK_MONOTONIC at half its price, where the kernel itself takes its time from a counter
 * of the processor that every thread can read: such a time is a former reading of the
 * clock, not a millisecond old, and the ticks since then.
 *
 * It is never ahead of the clock, but for what a reading of it takes, and less than a
 * microsecond behind; it never goes back.  Where the kernel does not trust the counter,
 * or while somebody takes a new reading, it is the clock itself.
 *
 * Context: any (async-signal-safe); under process_may_call() as real_monotonic_ns() is.
 */
#ifndef PRELOAD_TICKS_H
#define PRELOAD_TICKS_H

#include "arch_x86_64.h"
#include "cprof_atomic.h"
#include "cprof_compiler.h"

/* A reading of the clock. */
struct ticks_anchor {
	atomic_u32 sequence; /* odd: being written */
	atomic_u64 ticks;
	atomic_u64 ns;
	atomic_u64 scale; /* nanoseconds of 2^32 ticks; 0: not known */
};

extern struct ticks_anchor ticks_anchor __attribute__((visibility("hidden")));

/* So old may one be: some 0.4 to 2 ms. */
#define TICKS_AGE_MAX (UINT64_C(1) << 21)

/* The clock itself, which becomes the new reading. */
uint64_t ticks_read_clock(void);

static ALWAYS_INLINE uint64_t ticks_now_ns(void)
{
	/* Acquire, all but the last: nothing below is loaded before it. */
	uint32_t sequence = load_acquire(&ticks_anchor.sequence);
	uint64_t ticks = load_acquire(&ticks_anchor.ticks);
	uint64_t ns = load_acquire(&ticks_anchor.ns);
	uint64_t scale = load_acquire(&ticks_anchor.scale);
	uint64_t age = arch_ticks() - ticks; /* a large number, if it was set back */
	if (unlikely(age >= TICKS_AGE_MAX || scale == 0 || sequence % 2 != 0 ||
		     load_relaxed(&ticks_anchor.sequence) != sequence))
		return ticks_read_clock();
	return ns + (age * scale >> 32);
}

/* Context: init.  Before that, and if the kernel does not use the counter, there are no readings. */
void ticks_init(void);

/* In a forked child, before its first recording. */
void ticks_forget(void);

#endif
