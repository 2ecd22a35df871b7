/* SPDX-License-Identifier: MIT */
/* The histogram's bounds, and which calls are timed. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "malloc_time.h"
#include "own_segment.h"
#include "segment.h"

static void fresh(void)
{
	own_segment_open(CPROF_SEGMENT_BYTES_MIN);
}

Test(malloc_time, each_call_falls_into_the_bucket_of_its_duration, .init = fresh)
{
	const struct sampler_weight w = {.weight = 3 * CPROF_WEIGHT_ONE, .value = 3};
	struct cprof_control *control = segment_control();
	malloc_time_add(1, &w);
	malloc_time_add(64, &w);
	malloc_time_add(65, &w);
	malloc_time_add(256, &w);
	malloc_time_add(UINT64_C(3600) * 1000000000, &w);
	cr_expect(eq(u64, load_relaxed(&control->malloc_calls[0]), 6));
	cr_expect(eq(u64, load_relaxed(&control->malloc_calls[1]), 6));
	cr_expect(eq(u64, load_relaxed(&control->malloc_calls[CPROF_MALLOC_TIME_BUCKETS - 1]), 3));
	cr_expect(eq(u64, load_relaxed(&control->malloc_ns),
		     3 * (1 + 64 + 65 + 256 + UINT64_C(3600000000000))));
}

Test(malloc_time, a_call_that_was_not_timed_is_not_counted, .init = fresh)
{
	const struct sampler_weight w = {.weight = CPROF_WEIGHT_ONE, .value = 1};
	malloc_time_add(0, &w);
	for (uint32_t i = 0; i < CPROF_MALLOC_TIME_BUCKETS; i++)
		cr_expect(eq(u64, load_relaxed(&segment_control()->malloc_calls[i]), 0));
	cr_expect(eq(u64, malloc_time_since(0), 0));
}

Test(malloc_time, only_where_few_calls_are_sampled)
{
	thread_tls.drawn_rate_bytes = 1;
	cr_expect(eq(u64, malloc_time_begin(), 0));
	thread_tls.drawn_rate_bytes = 512 << 10;
	uint64_t begin = malloc_time_begin();
	cr_expect(ne(u64, begin, 0));
	cr_expect(ge(u64, malloc_time_since(begin), 1));
}
