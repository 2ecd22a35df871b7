/* SPDX-License-Identifier: MIT */
/*
 * The sampler against its own mathematics: probabilities, weights, and estimates whose
 * bounds are standard errors computed from the exact variance.  Seeds are fixed.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "own_segment.h"
#include "sampler.h"

#define RUNS 200

static void start_at_rate(uint64_t rate_bytes, uint64_t seed)
{
	memset(&thread_tls, 0, sizeof thread_tls);
	thread_tls.random_state = seed;
	store_relaxed(&segment_control()->heap_rate_bytes, rate_bytes);
}

/* One allocation through the whole decision. */
static bool allocate(size_t size, struct sampler_weight *out_weight)
{
	uint64_t rate;
	if (!sampler_take(size) || !sampler_decide(size, &rate))
		return false;
	*out_weight = sampler_weigh(size, rate);
	return true;
}

static void open_segment(void)
{
	own_segment_open(UINT64_C(1) << 20);
}

TestSuite(sampler, .init = open_segment);

Test(sampler, rate_one_records_every_allocation_as_itself)
{
	start_at_rate(1, 1);
	static const size_t sizes[] = {0, 1, 16, 4096, (size_t)1 << 40};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct sampler_weight w = {0, 0};
		cr_assert(allocate(sizes[i], &w));
		cr_assert_eq(w.weight, CPROF_WEIGHT_ONE);
		cr_assert_eq(w.value, sizes[i]);
	}
}

Test(sampler, rate_zero_records_nothing)
{
	start_at_rate(0, 1);
	struct sampler_weight w;
	for (int i = 0; i < 1000; i++)
		cr_assert_not(allocate((size_t)1 << 20, &w));
}

Test(sampler, weights_agree_with_libm)
{
	for (double rate = 2; rate < 1e9; rate *= 7)
		for (double size = 1; size < 1e9; size *= 3) {
			double p = -expm1(-floor(size) / floor(rate));
			struct sampler_weight w = sampler_weigh((size_t)size, (uint64_t)rate);
			cr_assert_float_eq((double)w.weight / 65536, 1 / p, 1e-5 + 1e-10 / p);
			cr_assert_float_eq((double)w.value, floor(size) / p, 0.51 + 1e-10 * size / p);
		}
}

Test(sampler, thresholds_agree_with_libm)
{
	const uint64_t rate = 512 << 10;
	for (uint64_t i = 0; i < 10000; i++) {
		uint64_t random = cprof_mix64(i + 1);
		double exact = -log(((double)(random >> 11) + 1) * 0x1p-53) * (double)rate;
		cr_assert_float_eq((double)sampler_threshold(random, rate), ceil(exact), 1);
	}
	cr_assert_geq(sampler_threshold(UINT64_MAX, rate), UINT64_C(1));
	cr_assert_lt(sampler_threshold(0, rate), 44 * rate);
}

/* The first allocation of a thread has no other chance than any other: p = 1 - exp(-1/8). */
Test(sampler, first_allocation_of_a_thread_is_not_favoured)
{
	const int threads = 20000;
	int sampled = 0;
	for (int i = 0; i < threads; i++) {
		struct sampler_weight w;
		start_at_rate(8192, cprof_mix64((uint64_t)i + 77));
		sampled += allocate(1024, &w);
	}
	double p = -expm1(-1024.0 / 8192);
	double sigma = sqrt(threads * p * (1 - p));
	cr_assert_float_eq(sampled, threads * p, 4 * sigma, "%d sampled, expected %f, sigma %f", sampled,
			   threads * p, sigma);
}

/*
 * Sizes from 16 bytes to 64 MiB mixed on one stack.  An allocation of s bytes adds
 * s/p with probability p: mean s, variance s^2 (1-p)/p.
 */
static void check_estimates(uint64_t rate)
{
	double truth_bytes = 0, truth_blocks = 0, variance_bytes = 0, variance_blocks = 0;
	double sum_bytes = 0, sum_blocks = 0;
	for (int run = 0; run < RUNS; run++) {
		start_at_rate(rate, cprof_mix64((uint64_t)run + 1));
		for (size_t size = 16; size <= (size_t)64 << 20; size *= 2) {
			size_t count = ((size_t)64 << 20) / size;
			if (count > 4000)
				count = 4000;
			double p = -expm1(-(double)size / (double)rate);
			double n = (double)count;
			truth_bytes += n * (double)size;
			truth_blocks += n;
			variance_bytes += n * (double)size * (double)size * (1 - p) / p;
			variance_blocks += n * (1 - p) / p;
			for (size_t i = 0; i < count; i++) {
				struct sampler_weight w;
				if (allocate(size, &w)) {
					sum_bytes += (double)w.value;
					sum_blocks += (double)w.weight / 65536;
				}
			}
		}
	}
	double error_bytes = sqrt(variance_bytes), error_blocks = sqrt(variance_blocks);
	cr_assert_float_eq(sum_bytes, truth_bytes, 4 * error_bytes, "bytes %f, truth %f, standard error %f",
			   sum_bytes, truth_bytes, error_bytes);
	cr_assert_float_eq(sum_blocks, truth_blocks, 4 * error_blocks,
			   "blocks %f, truth %f, standard error %f", sum_blocks, truth_blocks, error_blocks);
}

Test(sampler, estimates_are_unbiased_at_512_kib)
{
	check_estimates(512 << 10);
}

Test(sampler, estimates_are_unbiased_at_4_kib)
{
	check_estimates(4 << 10);
}

/* ---- the rate changes while the program runs ------------------------------------------ */

static void change_rate(uint64_t rate_bytes)
{
	store_relaxed(&segment_control()->heap_rate_bytes, rate_bytes);
}

Test(sampler, a_threshold_weighs_with_the_rate_it_was_drawn_with)
{
	uint64_t rate = 0;
	start_at_rate(4096, 3);
	cr_assert_not(sampler_take(1) && sampler_decide(1, &rate));
	change_rate(1);
	cr_assert(sampler_take((size_t)1 << 30) && sampler_decide((size_t)1 << 30, &rate));
	cr_expect_eq(rate, 4096);
	cr_assert(sampler_take(1) && sampler_decide(1, &rate));
	cr_expect_eq(rate, 1);
}

Test(sampler, nothing_is_recorded_after_it_was_turned_off)
{
	struct sampler_weight w;
	static const uint64_t rates[] = {1, 4096};
	for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
		start_at_rate(rates[i], 5);
		(void)allocate(1, &w);
		change_rate(0);
		for (int n = 0; n < 1000; n++)
			cr_assert_not(allocate(100000, &w));
	}
}

Test(sampler, turning_it_on_is_noticed_within_64_kib)
{
	struct sampler_weight w;
	start_at_rate(0, 7);
	cr_assert_not(allocate(1000, &w));
	change_rate(1);
	size_t unseen = 0;
	while (!allocate(1000, &w))
		unseen += 1000;
	cr_expect_leq(unseen, 64 << 10);
	cr_expect(allocate(1, &w));
}

/* Each allocation has its chance at one rate or the other; the sum over many runs tells. */
Test(sampler, estimates_are_unbiased_across_changes)
{
	static const uint64_t rates[] = {512 << 10, 1, 4096, 64 << 10};
	double truth = 0, sum = 0, variance = 0;
	for (int run = 0; run < 4 * RUNS; run++) {
		start_at_rate(rates[3], cprof_mix64((uint64_t)run + 99));
		for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
			change_rate(rates[r]);
			for (int i = 0; i < 2000; i++) {
				size_t size = (size_t)16 << (i * 7 % 9);
				/* At most what the largest rate gives. */
				double p = -expm1(-(double)size / (double)rates[0]);
				struct sampler_weight w;
				truth += (double)size;
				variance += (double)size * (double)size * (1 - p) / p;
				if (allocate(size, &w))
					sum += (double)w.value;
			}
		}
	}
	cr_assert_float_eq(sum, truth, 4 * sqrt(variance), "sum %f, truth %f, standard error at most %f", sum,
			   truth, sqrt(variance));
	cr_assert_lt(4 * sqrt(variance), 0.05 * truth, "the bound says something");
}
