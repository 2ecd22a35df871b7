/* SPDX-License-Identifier: MIT */
/*
 * The processor's own counter, which takes half the time that the clock takes to be read.  The
 * collector finds out whether the kernel's clock is made of it, and its rate; the
 * program then measures what is short by it, and asks the clock again and again.
 *
 * A rate is nanoseconds for a tick as fixed point with CPROF_TICK_SHIFT fractional bits; 0:
 * not known, or the counter is not to be trusted.
 *
 * Context: any (async-signal-safe).
 */
#ifndef CPROF_TICKS_H
#define CPROF_TICKS_H

#include <stdbool.h>
#include <stdint.h>

#define CPROF_TICK_SHIFT 24u

/*
 * What is measured by ticks is shorter: 2 to 4 ms on x86-64.  So a rate may be wrong by 1 in 100,000, as
 * when the clock is being corrected: what several threads measure still comes in the right order.
 */
#define CPROF_TICKS_MAX (UINT64_C(1) << 23)

/* From 1 MHz to 16 GHz; so a span by ticks fits 64 bits. */
static inline bool cprof_tick_rate_is_valid(uint64_t rate)
{
	return rate >= (UINT64_C(1) << CPROF_TICK_SHIFT) / 16 && rate <= UINT64_C(1000) << CPROF_TICK_SHIFT;
}

/* The name of the kernel's clock source that is this counter. */
#if defined(__x86_64__)
#define CPROF_TICK_CLOCKSOURCE "tsc"
#elif defined(__aarch64__)
#define CPROF_TICK_CLOCKSOURCE "arch_sys_counter"
#else
#define CPROF_TICK_CLOCKSOURCE ""
#endif

static inline uint64_t cprof_ticks(void)
{
#if defined(__x86_64__)
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
	uint64_t ticks;
	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	return 0;
#endif
}

/* Nanoseconds of fewer than CPROF_TICKS_MAX ticks. */
static inline uint64_t cprof_ticks_ns(uint64_t ticks, uint64_t rate)
{
	return ticks * rate >> CPROF_TICK_SHIFT;
}

#endif
