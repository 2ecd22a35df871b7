/* SPDX-License-Identifier: MIT */
/*
 * Context: any (async-signal-safe).
 */
#include "malloc_time.h"

#include "process.h"
#include "real.h"
#include "segment.h"

/* Below this, blocks of a page are sampled more often than not. */
#define TIMED_RATE_MIN_BYTES 4096

uint64_t malloc_time_begin(void)
{
	/* Where the vdso has no clock, reading it is a system call, which a filter may kill for. */
	bool is_timed = thread_tls.drawn_rate_bytes >= TIMED_RATE_MIN_BYTES && process_may_call();
	return is_timed ? real_monotonic_ns() : 0;
}

uint64_t malloc_time_since(uint64_t begin_ns)
{
	uint64_t now_ns = begin_ns ? real_monotonic_ns() : 0;
	return now_ns > begin_ns ? now_ns - begin_ns : begin_ns != 0;
}

void malloc_time_add(uint64_t duration_ns, const struct sampler_weight *weight)
{
	struct cprof_control *control = segment_control();
	uint32_t bucket = 0;
	if (!duration_ns)
		return;
	while (bucket < CPROF_MALLOC_TIME_BUCKETS - 1 && duration_ns > cprof_malloc_time_bound_ns(bucket))
		bucket++;
	uint64_t calls = weight->weight / CPROF_WEIGHT_ONE;
	/* Relaxed: sums; a reader may see a call whose time is not added yet. */
	add_relaxed(&control->malloc_calls[bucket], calls);
	add_relaxed(&control->malloc_ns, duration_ns * calls);
}
