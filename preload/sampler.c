/* SPDX-License-Identifier: MIT */
/*
 * The exponential byte sampler.  Its two transcendental functions are written out
 * here because libm is not libc and the library depends on libc alone; they need
 * only the accuracy of the fixed-point weights (relative error below 1e-11).
 *
 * Context: any (async-signal-safe).
 */
#include "sampler.h"

#include "process.h"
#include "real.h"
#include "segment.h"

#include <string.h>

/*
 * How far apart a thread looks at the rate while heap profiling is off, for it may have
 * been turned on meanwhile: what it allocates until then is not seen.  A look costs
 * about 6 ns: nothing that can be measured with blocks of 1000 bytes, 2 ns for each one
 * of 20000 bytes.
 */
#define OFF_RECHECK_BYTES (UINT64_C(64) << 10)

/* The same where cprof is off for good. */
#define REST_BYTES (UINT64_C(64) << 20)

/* No threshold is farther away than this many means: P < 1e-19. */
#define THRESHOLD_MEANS_MAX 44.0

/* ln(x) for 0 < x <= 1: exponent and mantissa in [1/sqrt2, sqrt2), then atanh's series. */
static double log_of(double x)
{
	const double ln2 = 0.693147180559945309417;
	uint64_t bits;
	memcpy(&bits, &x, sizeof bits);
	int exponent = (int)(bits >> 52) - 1023;
	bits = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1023) << 52;
	double m;
	memcpy(&m, &bits, sizeof m);
	if (m > 1.41421356237309504880) {
		m *= 0.5;
		exponent++;
	}
	double s = (m - 1) / (m + 1);
	double s2 = s * s;
	double sum = 0;
	for (int k = 15; k >= 1; k -= 2)
		sum = sum * s2 + 1.0 / k;
	return 2 * s * sum + exponent * ln2;
}

/* 1 - exp(-x) for x >= 0, without cancellation for small x. */
static double one_minus_exp_of_minus(double x)
{
	if (x > 40)
		return 1;
	/* exp(-x) = (exp(-x / 2^k))^(2^k); with y = 1 - e: 1 - e^2 = y (2 - y). */
	int halvings = 0;
	while (x > 0.25) {
		x *= 0.5;
		halvings++;
	}
	double term = x;
	double sum = 0;
	for (int k = 2; k <= 12; k++) {
		sum += term;
		term *= -x / k;
	}
	while (halvings-- > 0)
		sum *= 2 - sum;
	return sum;
}

uint64_t sampler_threshold(uint64_t random, uint64_t rate_bytes)
{
	/* Uniform in (0, 1]: 53 bits, never 0. */
	double u = (double)((random >> 11) + 1) * 0x1p-53;
	double means = -log_of(u);
	if (!(means < THRESHOLD_MEANS_MAX))
		means = THRESHOLD_MEANS_MAX;
	double bytes = means * (double)rate_bytes;
	uint64_t whole = (uint64_t)bytes;
	if ((double)whole < bytes)
		whole++;
	return whole ? whole : 1;
}

struct sampler_weight sampler_weigh(size_t size, uint64_t rate_bytes)
{
	struct sampler_weight w = {.weight = CPROF_WEIGHT_ONE, .value = size};
	if (rate_bytes <= 1 || size == 0)
		return w;
	double p = one_minus_exp_of_minus((double)size / (double)rate_bytes);
	w.weight = (uint64_t)((double)CPROF_WEIGHT_ONE / p + 0.5);
	w.value = (uint64_t)((double)size / p + 0.5);
	return w;
}

/* Draws the next threshold at the rate that is in force now. */
static void draw(void)
{
	/* Relaxed: a new rate holds from some allocation on; which one does not matter. */
	uint64_t rate_bytes = load_relaxed(&segment_control()->heap_rate_bytes);
	thread_tls.drawn_rate_bytes = rate_bytes;
	if (rate_bytes == 0)
		thread_tls.countdown_bytes = OFF_RECHECK_BYTES;
	else if (rate_bytes == 1)
		thread_tls.countdown_bytes = 0;
	else
		thread_tls.countdown_bytes = sampler_threshold(thread_random(), rate_bytes);
}

bool sampler_decide(size_t size, uint64_t *out_rate_bytes)
{
	/* Relaxed: as in draw(), which would draw 0 again. */
	if (thread_tls.drawn_rate_bytes == 1 && load_relaxed(&segment_control()->heap_rate_bytes) == 1) {
		*out_rate_bytes = 1;
		return true;
	}
	/*
	 * A new thread, or one that looks at the rate again, has no threshold yet: it gets
	 * one first and the allocation is judged by it.  Sampling it outright would count
	 * the first allocation of every thread.
	 */
	if (thread_tls.drawn_rate_bytes == 0) {
		draw();
		if (size < thread_tls.countdown_bytes) {
			thread_tls.countdown_bytes -= size;
			return false;
		}
		if (thread_tls.drawn_rate_bytes == 0)
			return false;
	}
	*out_rate_bytes = thread_tls.drawn_rate_bytes;
	draw();
	/*
	 * Turned off since the threshold was drawn.  Each allocation until then had its
	 * chance; to take this one would count some that came after.  After any other change
	 * the old threshold goes on to the end, and weighs with the old rate.
	 */
	return thread_tls.drawn_rate_bytes != 0;
}

void sampler_rest(void)
{
	if (process_is_off())
		thread_tls.countdown_bytes = REST_BYTES;
	else if (real_resolve() &&
		 !process_is_starting()) /* else the allocation is the library's own doing */
		add_relaxed(&process_early_allocations, UINT32_C(1)); /* a count orders nothing */
}
