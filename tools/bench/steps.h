/* SPDX-License-Identifier: MIT */
/*
 * Stacks of as many kinds as a benchmark wants: functions that call each other by a path,
 * three bits of which choose one of 8 return addresses at each level.
 *
 * Context: benchmarks.
 */
#ifndef TOOLS_BENCH_STEPS_H
#define TOOLS_BENCH_STEPS_H

#include <stdint.h>

#include "clock.h"

typedef void bench_step(uint64_t path, int left);
static bench_step *const volatile bench_steps[4];

/* Two call sites in each of four functions that must not be merged; at the last level comes `last`. */
#define BENCH_DEFINE_STEP(name, last)                                          \
	static __attribute__((noipa)) void name(uint64_t path, int left)       \
	{                                                                      \
		if (left == 0) {                                               \
			last;                                                  \
		} else if (path & 4) {                                         \
			bench_steps[path & 3](path >> 3, left - 1);            \
			__asm__ volatile("nop"); /* unlike the other branch */ \
		} else {                                                       \
			bench_steps[path & 3](path >> 3, left - 1);            \
		}                                                              \
		BENCH_OPAQUE(path); /* no tail calls */                        \
	}

#define BENCH_DEFINE_STEPS(last)        \
	BENCH_DEFINE_STEP(step_a, last) \
	BENCH_DEFINE_STEP(step_b, last) \
	BENCH_DEFINE_STEP(step_c, last) \
	BENCH_DEFINE_STEP(step_d, last) \
	static bench_step *const volatile bench_steps[4] = {step_a, step_b, step_c, step_d}

#endif
