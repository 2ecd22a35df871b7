/* SPDX-License-Identifier: MIT */
/*
 * The stores are relaxed and in no order: each use of a rate stands alone, and a lock
 * function that finds contention profiling on with both rates 0 records nothing.
 *
 * Context: collector, main thread.
 */
#include "rates.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "clock.h"
#include "cprof_compiler.h"
#include "cprof_units.h"

static int refuse(char out_line[RATES_LINE_BYTES], int error, const char *format, ...) PRINTF_LIKE(3, 4);
static int refuse(char out_line[RATES_LINE_BYTES], int error, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(out_line, RATES_LINE_BYTES, format, args);
	va_end(args);
	return error;
}

static int judge_range(const struct cprof_rates *rates, char out_line[RATES_LINE_BYTES])
{
	if (rates->which == 0 || rates->which & ~CPROF_RATE_ALL)
		return refuse(
			out_line, -EINVAL,
			"no rate is given; accepted: cpu_hz, heap_rate, block_rate, mutex_fraction, trace");
	if (rates->which & CPROF_RATE_CPU_HZ && rates->cpu_hz > CPROF_CPU_HZ_MAX)
		return refuse(out_line, -EINVAL, "cpu_hz=%" PRIu32 ": accepted is " CPROF_CPU_HZ_ACCEPTED,
			      rates->cpu_hz);
	if (rates->which & CPROF_RATE_HEAP && rates->heap_rate_bytes > CPROF_HEAP_RATE_MAX_BYTES)
		return refuse(out_line, -EINVAL,
			      "heap_rate=%" PRIu64 ": accepted is " CPROF_HEAP_RATE_ACCEPTED,
			      rates->heap_rate_bytes);
	if (rates->which & CPROF_RATE_BLOCK && rates->block_rate_ns > CPROF_BLOCK_RATE_MAX_NS)
		return refuse(out_line, -EINVAL,
			      "block_rate=%" PRIu64 ": accepted is " CPROF_BLOCK_RATE_ACCEPTED,
			      rates->block_rate_ns);
	if (rates->which & CPROF_RATE_MUTEX && rates->mutex_fraction > CPROF_MUTEX_FRACTION_MAX)
		return refuse(out_line, -EINVAL,
			      "mutex_fraction=%" PRIu32 ": accepted is " CPROF_MUTEX_FRACTION_ACCEPTED,
			      rates->mutex_fraction);
	if (rates->which & CPROF_RATE_TRACE && rates->trace & ~CPROF_TRACE_FLIGHT)
		return refuse(out_line, -EINVAL, "trace: accepted is " CPROF_TRACE_SET_ACCEPTED);
	return 0;
}

/* What has to be there from the start. */
static int judge_possible(const struct cprof_control *control, const struct cprof_rates *rates,
			  char out_line[RATES_LINE_BYTES])
{
	if (rates->which & CPROF_RATE_CPU_HZ && rates->cpu_hz && control->cpu_hz_at_start == 0)
		return refuse(out_line, -ENOTSUP,
			      "cpu_hz cannot be changed: the process was started with CPROF_CPU_HZ=0, so its "
			      "threads have no timers");
	if (rates->which & CPROF_RATE_HEAP && rates->heap_rate_bytes && !control->is_heap_available)
		return refuse(out_line, -ENOTSUP,
			      "heap_rate cannot be changed: the program, or a library loaded before "
			      "libcprof.so, defines malloc itself");
	/* Relaxed: a setting. */
	if (rates->which & CPROF_RATE_TRACE && load_relaxed(&control->trace_asked) & CPROF_TRACE_STREAM)
		return refuse(out_line, -ENOTSUP,
			      "trace cannot be changed: the process was started with CPROF_TRACE=full");
	if (rates->which & CPROF_RATE_TRACE && rates->trace && control->trace_chunk_count == 0)
		return refuse(
			out_line, -ENOTSUP,
			"trace cannot be changed: the process was started with CPROF_MEM too small for it");
	return 0;
}

static bool set_u32(atomic_u32 *rate, uint32_t value)
{
	uint32_t before = load_relaxed(rate); /* only we store it */
	store_relaxed(rate, value);
	return before != value;
}

static bool set_u64(atomic_u64 *rate, uint64_t value)
{
	uint64_t before = load_relaxed(rate); /* only we store it */
	store_relaxed(rate, value);
	return before != value;
}

static bool set_heap_rate(struct cprof_control *control, uint64_t bytes)
{
	uint64_t before = load_relaxed(&control->heap_rate_bytes); /* only we store it */
	if (before || bytes)
		store_relaxed(&control->heap_rate_last_bytes, bytes ? bytes : before); /* read by us */
	if (bytes && control->heap_state == CPROF_HEAP_OFF)
		control->heap_state = CPROF_HEAP_ON; /* read by collectors only */
	return set_u64(&control->heap_rate_bytes, bytes);
}

/* The lock functions look at this word alone. */
static void set_contention(struct cprof_control *control)
{
	store_relaxed(&control->contention, (uint32_t)(load_relaxed(&control->block_rate_ns) != 0 ||
						       load_relaxed(&control->mutex_fraction) != 0 ||
						       load_relaxed(&control->trace) != 0));
}

void rates_set_trace(struct cprof_control *control, uint32_t bits)
{
	/* Relaxed: only we store it, and read the time. */
	if (load_relaxed(&control->trace) == 0 && bits)
		store_relaxed(&control->trace_since_ns, clock_ns(CLOCK_MONOTONIC));
	store_relaxed(&control->trace, bits);
	set_contention(control);
}

int rates_apply(struct cprof_control *control, const struct cprof_rates *rates,
		char out_line[RATES_LINE_BYTES])
{
	int error = judge_range(rates, out_line);
	if (!error)
		error = judge_possible(control, rates, out_line);
	if (error)
		return error;
	uint32_t changed = 0;
	if (rates->which & CPROF_RATE_CPU_HZ && control->cpu_hz_at_start &&
	    set_u32(&control->cpu_hz, rates->cpu_hz))
		changed |= CPROF_RATE_CPU_HZ;
	if (rates->which & CPROF_RATE_HEAP && set_heap_rate(control, rates->heap_rate_bytes))
		changed |= CPROF_RATE_HEAP;
	if (rates->which & CPROF_RATE_BLOCK && set_u64(&control->block_rate_ns, rates->block_rate_ns))
		changed |= CPROF_RATE_BLOCK;
	if (rates->which & CPROF_RATE_MUTEX && set_u32(&control->mutex_fraction, rates->mutex_fraction))
		changed |= CPROF_RATE_MUTEX;
	if (rates->which & CPROF_RATE_TRACE) {
		/* Relaxed: only we store them. */
		uint32_t streamed = load_relaxed(&control->trace) & CPROF_TRACE_STREAM;
		if (set_u32(&control->trace_asked, rates->trace))
			changed |= CPROF_RATE_TRACE;
		rates_set_trace(control, rates->trace | streamed);
	}
	set_contention(control);
	or_relaxed(&control->rates_changed, changed); /* read by collectors only */
	return 0;
}
