/* SPDX-License-Identifier: MIT */
/*
 * How long the real malloc and calloc take: a histogram in the control block, made of the
 * calls that are sampled anyhow.  A call counts as many times as its block does, so that
 * small blocks have the share that they have in the program.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_MALLOC_TIME_H
#define PRELOAD_MALLOC_TIME_H

#include "sampler.h"

/*
 * Now; 0 if this call is not to be timed: where nearly every call is sampled, two looks
 * at the clock would cost more than what they time.
 */
uint64_t malloc_time_begin(void);

/* How long it took, at least 1 ns; 0 for a begin of 0. */
uint64_t malloc_time_since(uint64_t begin_ns);

/* Counts a call of this duration (0: none) that was sampled with this weight. */
void malloc_time_add(uint64_t duration_ns, const struct sampler_weight *weight);

#endif
