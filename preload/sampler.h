/* SPDX-License-Identifier: MIT */
/*
 * Which allocations are recorded, and what each stands for.
 *
 * Each thread counts allocated bytes down from a threshold drawn from an exponential
 * distribution with mean `rate`; the allocation that reaches zero is sampled and a
 * new threshold is drawn.  The exponential distribution has no memory, so each
 * allocation of s bytes is sampled with probability
 *
 *     p(s) = 1 - exp(-s / rate)
 *
 * whatever came before it, and independently of where in the stream it lies.  A
 * sampled block therefore counts as 1/p blocks and s/p bytes: the expectation of the
 * sum over samples is the true sum, whatever sizes share a stack.  The same weights
 * are stored in the live table and taken off when the block is freed.
 *
 * The threshold is rounded up to whole bytes, which keeps p exact for whole s:
 * P(ceil(X) <= s) = P(X <= s).  At rate 1 every allocation is recorded as itself.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_SAMPLER_H
#define PRELOAD_SAMPLER_H

#include "thread.h"

/*
 * The fast path: true if this allocation may have to be sampled (ask
 * sampler_decide()), else its bytes are counted.  A new thread's countdown is 0, so
 * its first allocation gets here with true.
 */
static ALWAYS_INLINE bool sampler_take(size_t size)
{
	if (unlikely(size >= thread_tls.countdown_bytes))
		return true;
	thread_tls.countdown_bytes -= size;
	return false;
}

/*
 * The rest of the decision, after sampler_take() said true.  True: record the
 * allocation with *out_rate_bytes.  Under a guard.
 */
bool sampler_decide(size_t size, uint64_t *out_rate_bytes);

/*
 * After sampler_take() said true and no guard was to be had: if that is for good, keeps
 * this thread on the fast path; if cprof is still starting, counts an early allocation.
 */
void sampler_rest(void);

/* What a block of `size` bytes sampled at this rate stands for. */
struct sampler_weight {
	uint64_t weight; /* blocks, 16 fractional bits */
	uint64_t value;  /* bytes */
};
struct sampler_weight sampler_weigh(size_t size, uint64_t rate_bytes);

/* A threshold in bytes, at least 1, for a uniform 64-bit random number. */
uint64_t sampler_threshold(uint64_t random, uint64_t rate_bytes);

#endif
