/* SPDX-License-Identifier: MIT */
/*
 * One line for the coverage and one for each counter that is not zero, in plain
 * words: somebody who reads a report should not need this source to judge it.
 *
 * Context: collector, main thread.
 */
#include "comments.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cprof_compiler.h"
#include "cprof_version.h"
#include "cprof_wire.h"

#define IN_CPU (1u << PROFILE_CPU)
#define IN_HEAP (1u << PROFILE_HEAP)
#define IN_BLOCK (1u << PROFILE_BLOCK)
#define IN_MUTEX (1u << PROFILE_MUTEX)
#define IN_THREADCREATE (1u << PROFILE_THREADCREATE)
#define IN_ALL (IN_CPU | IN_HEAP | IN_BLOCK | IN_MUTEX | IN_THREADCREATE)
#define RUN_NAME_MAX 64

/* Counters that speak for themselves: "<count> <words>". */
static const struct {
	enum cprof_counter counter;
	unsigned kinds;
	const char *words;
} plain_counters[] = {
	{CPROF_LOST_LIVE_BLOCKS, IN_HEAP,
	 "sampled blocks are missing from what is in use: the live table is full (CPROF_MEM)"},
	{CPROF_STACKS_TRUNCATED, IN_ALL, "samples have more than 128 frames: only the innermost are kept"},
	{CPROF_STACKS_BROKEN, IN_ALL, "samples have a stack that could not be followed to its end"},
	{CPROF_STACKS_MISSING, IN_ALL, "samples are kept without a stack"},
	{CPROF_STACK_TABLE_FULL, IN_ALL, "samples found the stack table full (CPROF_MEM)"},
	{CPROF_TOTALS_FULL, IN_ALL, "samples found the table of totals full (CPROF_MEM) and are lost"},
	{CPROF_MODULES_FULL, IN_ALL, "frames belong to objects for which the module table had no room"},
	{CPROF_THREADS_NO_SLOT, IN_CPU | IN_HEAP,
	 "threads are not in the CPU profile: no slot was free (CPROF_MEM)"},
	{CPROF_WAITS_UNTRACKED, IN_MUTEX,
	 "waits are charged to no holder: its release is not seen, or the table of waiters was full"},
	{CPROF_LABELS_LOST, IN_ALL & ~IN_THREADCREATE,
	 "labels were not added: their table is full (CPROF_MEM), or a set has 16 of them"},
	{CPROF_LOST_THREAD_STARTS, IN_THREADCREATE, "threads were started, but are not in this profile"},
	{CPROF_THREADS_NO_TIMER, IN_CPU,
	 "threads are not in the CPU profile: they got no timer (RLIMIT_SIGPENDING?)"},
	{CPROF_NESTED_TOO_DEEP, IN_ALL,
	 "samples had no room for a stack: nested signal handlers, or a stack near its end"},
	{CPROF_RECORDS_TORN, IN_ALL,
	 "samples were being written when their thread or process ended, and are lost"},
};

static void add(struct comments *comments, const char *format, ...) PRINTF_LIKE(2, 3);

static void add(struct comments *comments, const char *format, ...)
{
	if (comments->count == COMMENTS_MAX)
		return;
	char *text = comments->text[comments->count];
	va_list args;
	va_start(args, format);
	vsnprintf(text, COMMENTS_LINE_BYTES, format, args);
	va_end(args);
	comments->lines[comments->count++] = text;
}

static double seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

static uint64_t count_of(const struct cprof_control *control, enum cprof_counter counter)
{
	return load_relaxed(&control->counters[counter]); /* a count orders nothing */
}

static void add_cpu(struct comments *comments, const struct cprof_control *control,
		    const struct aggregate_sums *sums, const struct comments_clock *cpu_clock)
{
	uint64_t lost_samples = count_of(control, CPROF_LOST_CPU_SAMPLES);
	uint64_t lost_ns = count_of(control, CPROF_LOST_CPU_NS);
	const char *mark = lost_samples || lost_ns ? "" : "# ";
	char age[64] = "";
	/* Killed and reaped at once: what is sampled can then exceed what the clock said before. */
	if (cpu_clock->age_ns)
		snprintf(age, sizeof age, " (read %.3f s before the end)", seconds(cpu_clock->age_ns));
	if (cpu_clock->is_known)
		add(comments,
		    "%scprof " CPROF_VERSION
		    ": cpu clock %.3f s%s = sampled %.3f s + lost %.3f s + not covered %.3f s",
		    mark, seconds(cpu_clock->clock_ns), age, seconds(sums->value), seconds(lost_ns),
		    seconds(cpu_clock->clock_ns) - seconds(sums->value) - seconds(lost_ns));
	else
		add(comments, "%scprof " CPROF_VERSION ": cpu clock not known; sampled %.3f s + lost %.3f s",
		    mark, seconds(sums->value), seconds(lost_ns));
	if (lost_samples)
		add(comments, "cprof: %" PRIu64 " CPU samples (%.3f s) are lost", lost_samples,
		    seconds(lost_ns));
}

static bool is_changed(const struct cprof_control *control, uint32_t rate)
{
	return load_relaxed(&control->rates_changed) & rate; /* a setting orders nothing */
}

static void add_heap(struct comments *comments, const struct cprof_control *control,
		     const struct aggregate_sums *sums)
{
	uint64_t rate = load_relaxed(&control->heap_rate_bytes); /* a setting orders nothing */
	char how[96] = "counted exactly (rate 1)";
	if (rate == 0)
		snprintf(how, sizeof how, "is switched off by now");
	else if (rate > 1 || is_changed(control, CPROF_RATE_HEAP))
		snprintf(how, sizeof how, "sampled about every %" PRIu64 " bytes", rate);
	uint64_t lost_blocks = count_of(control, CPROF_LOST_ALLOC_BLOCKS);
	uint64_t lost_bytes = count_of(control, CPROF_LOST_ALLOC_BYTES);
	uint64_t early = count_of(control, CPROF_EARLY_ALLOCATIONS);
	add(comments,
	    "%scprof " CPROF_VERSION ": heap %s: allocated %" PRIu64 " blocks, %" PRIu64
	    " bytes; in use %" PRIu64 " blocks, %" PRIu64 " bytes",
	    lost_blocks || lost_bytes ? "" : "# ", how, sums->weight / CPROF_WEIGHT_ONE, sums->value,
	    sums->live_weight / CPROF_WEIGHT_ONE, sums->live_value);
	if (lost_blocks || lost_bytes)
		add(comments, "cprof: about %" PRIu64 " allocations (%" PRIu64 " bytes) are lost",
		    lost_blocks, lost_bytes);
	/* Every program has a few, made by the loader: no reason to head every report. */
	if (early)
		add(comments, "# cprof: %" PRIu64 " allocations were made before sampling began", early);
}

/* Block and mutex: `how` says which waits are counted. */
static void add_waits(struct comments *comments, const char *kind, const char *how,
		      const struct aggregate_sums *sums, uint64_t lost_waits, uint64_t lost_ns)
{
	add(comments, "%scprof " CPROF_VERSION ": %s %s: %" PRIu64 " waits, %.3f s of delay",
	    lost_waits || lost_ns ? "" : "# ", kind, how, sums->weight / CPROF_WEIGHT_ONE,
	    seconds(sums->value));
	if (lost_waits || lost_ns)
		add(comments, "cprof: about %" PRIu64 " waits (%.3f s) are lost", lost_waits,
		    seconds(lost_ns));
}

static void add_block(struct comments *comments, const struct cprof_control *control,
		      const struct aggregate_sums *sums)
{
	uint64_t rate = load_relaxed(&control->block_rate_ns); /* a setting orders nothing */
	char how[96] = "counts every wait (rate 1)";
	if (rate == 0)
		snprintf(how, sizeof how, "is switched off by now");
	else if (rate > 1)
		snprintf(how, sizeof how, "counts waits of %" PRIu64 " ns and longer, samples shorter ones",
			 rate);
	add_waits(comments, "block", how, sums, count_of(control, CPROF_LOST_BLOCK_WAITS),
		  count_of(control, CPROF_LOST_BLOCK_NS));
}

static void add_mutex(struct comments *comments, const struct cprof_control *control,
		      const struct aggregate_sums *sums)
{
	uint32_t fraction = load_relaxed(&control->mutex_fraction); /* a setting orders nothing */
	char how[96] = "counts every contention (fraction 1)";
	if (fraction == 0)
		snprintf(how, sizeof how, "is switched off by now");
	else if (fraction > 1)
		snprintf(how, sizeof how, "samples one of %" PRIu32 " contentions", fraction);
	add_waits(comments, "mutex", how, sums, count_of(control, CPROF_LOST_MUTEX_WAITS),
		  count_of(control, CPROF_LOST_MUTEX_NS));
}

static void add_threadcreate(struct comments *comments, const struct cprof_control *control,
			     const struct aggregate_sums *sums)
{
	add(comments, "%scprof " CPROF_VERSION ": %" PRIu64 " threads started",
	    count_of(control, CPROF_LOST_THREAD_STARTS) ? "" : "# ", sums->weight / CPROF_WEIGHT_ONE);
}

/* Rates stand in the profile as they are at its end; its samples may stem from others. */
static void add_change(struct comments *comments, const struct cprof_control *control, uint32_t rate)
{
	if (is_changed(control, rate))
		add(comments,
		    "# cprof: the rate was changed while the program ran; each sample is weighed with "
		    "the rate that it was drawn with");
}

/* CPROF_RUN names a run: whoever started several into one directory finds the files of each. */
static void add_run(struct comments *comments)
{
	const char *run = secure_getenv("CPROF_RUN");
	size_t length = run ? strlen(run) : 0;
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
	if (length && length <= RUN_NAME_MAX && strspn(run, allowed) == length)
		add(comments, "# cprof: run %s", run);
}

void comments_build_run(struct comments *out_comments)
{
	out_comments->count = 0;
	add_run(out_comments);
}

void comments_build(enum profile_kind kind, const struct cprof_control *control,
		    const struct aggregate_sums *sums, const struct comments_clock *cpu_clock,
		    struct comments *out_comments)
{
	out_comments->count = 0;
	switch (kind) {
	case PROFILE_CPU:
		add_cpu(out_comments, control, sums, cpu_clock);
		add_change(out_comments, control, CPROF_RATE_CPU_HZ);
		break;
	case PROFILE_HEAP:
		add_heap(out_comments, control, sums);
		add_change(out_comments, control, CPROF_RATE_HEAP);
		break;
	case PROFILE_BLOCK:
		add_block(out_comments, control, sums);
		add_change(out_comments, control, CPROF_RATE_BLOCK);
		break;
	case PROFILE_MUTEX:
		add_mutex(out_comments, control, sums);
		add_change(out_comments, control, CPROF_RATE_MUTEX);
		break;
	case PROFILE_THREADCREATE:
		add_threadcreate(out_comments, control, sums);
		break;
	case PROFILE_THREADS: /* whoever took the picture says what there is to say */
		break;
	case PROFILE_KIND_COUNT:
		return;
	}
	add_run(out_comments);
	for (size_t i = 0; i < ARRAY_LENGTH(plain_counters); i++) {
		uint64_t count = count_of(control, plain_counters[i].counter);
		if (count && plain_counters[i].kinds & 1u << kind)
			add(out_comments, "cprof: %" PRIu64 " %s", count, plain_counters[i].words);
	}
}
