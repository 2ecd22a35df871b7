/* SPDX-License-Identifier: MIT */
/*
 * The rate of the ticks is measured from one reading to another, tens of milliseconds
 * later; and it is taken for a little lower than it is, so that a new reading is rarely
 * behind what the former one has led to.  Where it is, that is what counts, and the time
 * stands still for some nanoseconds.
 *
 * The counter is read before and after the clock; where that took long it was interrupted, and is not kept.
 *
 * Context: any (async-signal-safe), but for ticks_init().
 */
#include "ticks.h"

#include <fcntl.h>
#include <string.h>

#include "real.h"
#include "sys.h"

/* The counter was read before and after the clock; so far apart at most. */
#define APART_TICKS_MAX 256u
/* The rate is measured over so many at least, the first time and later; over more than the last it is not. */
#define FIRST_BASE_TICKS TICKS_AGE_MAX
#define BASE_TICKS (UINT64_C(1) << 27)
#define BASE_TICKS_MAX (UINT64_C(1) << 31)
/* Of 100 MHz to 10 GHz. */
#define SCALE_MIN (UINT64_C(1) << 28)
#define SCALE_MAX (UINT64_C(10) << 32)
/* By how much the rate is taken for lower: 15 ns in a millisecond. */
#define BIAS_SHIFT 16
/* A new reading that is further behind tells that something else is wrong: it counts. */
#define BEHIND_NS_MAX UINT64_C(1000)

struct ticks_anchor ticks_anchor;

/* Written at load. */
static bool is_steady;

/* A former reading, from which the rate is measured: whoever writes the anchor reads and writes it. */
static uint64_t base_ticks, base_ns;

/* What the clock says may be measured from; 0: nothing yet. */
static uint64_t measure(uint64_t ticks, uint64_t ns, uint64_t scale)
{
	uint64_t since = ticks - base_ticks;
	if (since < (scale ? BASE_TICKS : FIRST_BASE_TICKS))
		return scale;
	if (base_ns && since < BASE_TICKS_MAX && ns > base_ns) {
		uint64_t measured = ((ns - base_ns) << 32) / since;
		scale = measured >= SCALE_MIN && measured <= SCALE_MAX ? measured - (measured >> BIAS_SHIFT)
								       : 0;
	}
	base_ticks = ticks;
	base_ns = ns;
	return scale;
}

/* The latest time that somebody may have made of the former reading. */
static uint64_t given_until(uint64_t ticks)
{
	/* Relaxed, all: only who made the sequence odd writes them. */
	uint64_t age = ticks - load_relaxed(&ticks_anchor.ticks);
	uint64_t scale = load_relaxed(&ticks_anchor.scale);
	return load_relaxed(&ticks_anchor.ns) + ((age < TICKS_AGE_MAX ? age : TICKS_AGE_MAX) * scale >> 32);
}

uint64_t ticks_read_clock(void)
{
	if (!is_steady)
		return real_monotonic_ns();
	uint64_t before = arch_ticks();
	uint64_t ns = real_monotonic_ns();
	uint64_t after = arch_ticks();
	uint64_t ticks = before + (after - before) / 2;
	uint32_t sequence = load_relaxed(&ticks_anchor.sequence); /* the CAS decides */
	if (after - before > APART_TICKS_MAX || sequence % 2 != 0 ||
	    !cas_acq_rel(&ticks_anchor.sequence, &sequence, sequence + 1))
		return ns;
	uint64_t given_ns = given_until(ticks);
	uint64_t scale = measure(ticks, ns, load_relaxed(&ticks_anchor.scale));
	if (ns < given_ns && given_ns - ns < BEHIND_NS_MAX)
		ns = given_ns;
	/* Release, each: who sees the new field sees the odd sequence. */
	store_release(&ticks_anchor.ticks, ticks);
	store_release(&ticks_anchor.ns, ns);
	store_release(&ticks_anchor.scale, scale);
	store_release(&ticks_anchor.sequence, sequence + 2); /* after all fields */
	return ns;
}

void ticks_init(void)
{
	static const char wanted[] = "tsc\n";
	char source[sizeof wanted];
	long fd = sys_call3(SYS_open,
			    (long)"/sys/devices/system/clocksource/clocksource0/current_clocksource",
			    O_RDONLY | O_CLOEXEC, 0);
	if (sys_is_error(fd))
		return;
	long size = sys_call3(SYS_read, fd, (long)source, sizeof source);
	(void)sys_call1(SYS_close, fd);
	is_steady = size == sizeof wanted - 1 && memcmp(source, wanted, sizeof wanted - 1) == 0 &&
		    arch_has_steady_ticks();
}

void ticks_forget(void)
{
	/* Relaxed, all: one thread so far.  Another one may have been at it in the parent. */
	uint32_t sequence = load_relaxed(&ticks_anchor.sequence);
	store_relaxed(&ticks_anchor.scale, UINT64_C(0));
	store_relaxed(&ticks_anchor.sequence, sequence + sequence % 2);
	base_ns = 0;
}
