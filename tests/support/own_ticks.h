/* SPDX-License-Identifier: MIT */
/*
 * The rate of the processor's counter, measured for a test: as include/cprof_ticks.h has it.
 *
 * Context: tests.
 */
#ifndef TESTS_OWN_TICKS_H
#define TESTS_OWN_TICKS_H

#include <stdint.h>
#include <time.h>

#include "cprof_ticks.h"

struct own_ticks {
	uint64_t ticks;
	uint64_t ns;
};

/* Both at once: of a hundred readings the one that was interrupted least. */
static inline struct own_ticks own_ticks_read(void)
{
	struct own_ticks best = {0, 0};
	uint64_t shortest = UINT64_MAX;
	for (int i = 0; i < 100; i++) {
		struct timespec now;
		uint64_t before = cprof_ticks();
		clock_gettime(CLOCK_MONOTONIC, &now);
		uint64_t took = cprof_ticks() - before;
		if (took >= shortest)
			continue;
		shortest = took;
		best.ticks = before + took / 2;
		best.ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
	}
	return best;
}

/* By a span of 50 ms at least; 0: there is no counter, or it stands still. */
static inline uint64_t own_ticks_rate(void)
{
	const struct timespec span = {.tv_nsec = 50000000};
	struct own_ticks begin = own_ticks_read();
	nanosleep(&span, NULL);
	struct own_ticks end = own_ticks_read();
	if (end.ticks <= begin.ticks)
		return 0;
	return ((end.ns - begin.ns) << CPROF_TICK_SHIFT) / (end.ticks - begin.ticks);
}

#endif
