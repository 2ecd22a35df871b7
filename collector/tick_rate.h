/* SPDX-License-Identifier: MIT */
/*
 * The rate of the processor's counter against CLOCK_MONOTONIC, for programs that measure short
 * calls by it (include/cprof_ticks.h).
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_TICK_RATE_H
#define COLLECTOR_TICK_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* All zero: nobody has asked so far. */
struct tick_rate {
	uint64_t begin_ticks;
	uint64_t begin_ns; /* 0: no span has begun */
	bool is_usable;    /* the kernel's clock was made of it then */
	uint64_t rate;
};

/*
 * The rate by now, 0: not known.  To be asked now and then: a first rate takes 50 ms, and every
 * ten seconds it is measured anew, and whether the kernel's clock is still made of the counter.
 */
uint64_t tick_rate_now(struct tick_rate *self);

#endif
