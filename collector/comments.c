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

#define IN_CPU (1u << PROFILE_CPU)
#define IN_HEAP (1u << PROFILE_HEAP)
#define IN_SAMPLED ((1u << PROFILE_THREADS) - 1)
#define RUN_NAME_MAX 64

/* Counters that speak for themselves: "<count> <words>". */
static const struct {
	enum cprof_counter counter;
	unsigned kinds;
	const char *words;
} plain_counters[] = {
	{CPROF_LOST_LIVE_BLOCKS, IN_HEAP,
	 "sampled blocks are missing from what is in use: the live table is full (CPROF_MEM)"},
	{CPROF_STACKS_TRUNCATED, IN_SAMPLED,
	 "samples have more than 128 frames: only the innermost are kept"},
	{CPROF_STACKS_BROKEN, IN_SAMPLED, "samples have a stack that could not be followed to its end"},
	{CPROF_STACKS_MISSING, IN_SAMPLED, "samples are kept without a stack"},
	{CPROF_STACK_TABLE_FULL, IN_SAMPLED, "samples found the stack table full (CPROF_MEM)"},
	{CPROF_TOTALS_FULL, IN_SAMPLED, "samples found the table of totals full (CPROF_MEM) and are lost"},
	{CPROF_MODULES_FULL, IN_SAMPLED, "frames belong to objects for which the module table had no room"},
	{CPROF_THREADS_NO_SLOT, IN_CPU | IN_HEAP,
	 "threads are not in the CPU profile: no slot was free (CPROF_MEM)"},
	{CPROF_THREADS_NO_TIMER, IN_CPU,
	 "threads are not in the CPU profile: they got no timer (RLIMIT_SIGPENDING?)"},
	{CPROF_NESTED_TOO_DEEP, IN_SAMPLED,
	 "samples had no room for a stack: nested signal handlers, or a small alternate stack"},
	{CPROF_RECORDS_TORN, IN_SAMPLED,
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
		    mark, seconds(cpu_clock->clock_ns), age, seconds(sums->cpu_ns), seconds(lost_ns),
		    seconds(cpu_clock->clock_ns) - seconds(sums->cpu_ns) - seconds(lost_ns));
	else
		add(comments, "%scprof " CPROF_VERSION ": cpu clock not known; sampled %.3f s + lost %.3f s",
		    mark, seconds(sums->cpu_ns), seconds(lost_ns));
	if (lost_samples)
		add(comments, "cprof: %" PRIu64 " CPU samples (%.3f s) are lost", lost_samples,
		    seconds(lost_ns));
}

static void add_heap(struct comments *comments, const struct cprof_control *control,
		     const struct aggregate_sums *sums)
{
	uint64_t rate = load_relaxed(&control->heap_rate_bytes); /* a setting orders nothing */
	uint64_t lost_blocks = count_of(control, CPROF_LOST_ALLOC_BLOCKS);
	uint64_t lost_bytes = count_of(control, CPROF_LOST_ALLOC_BYTES);
	uint64_t early = count_of(control, CPROF_EARLY_ALLOCATIONS);
	add(comments,
	    "%scprof " CPROF_VERSION ": heap %s%" PRIu64 "%s: allocated %" PRIu64 " blocks, %" PRIu64
	    " bytes; in use %" PRIu64 " blocks, %" PRIu64 " bytes",
	    lost_blocks || lost_bytes ? "" : "# ",
	    rate == 1 ? "counted exactly (rate " : "sampled about every ", rate, rate == 1 ? ")" : " bytes",
	    sums->alloc_weight / CPROF_WEIGHT_ONE, sums->alloc_bytes, sums->live_weight / CPROF_WEIGHT_ONE,
	    sums->live_bytes);
	if (lost_blocks || lost_bytes)
		add(comments, "cprof: about %" PRIu64 " allocations (%" PRIu64 " bytes) are lost",
		    lost_blocks, lost_bytes);
	/* Every program has a few, made by the loader: no reason to head every report. */
	if (early)
		add(comments, "# cprof: %" PRIu64 " allocations were made before sampling began", early);
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

void comments_build(enum profile_kind kind, const struct cprof_control *control,
		    const struct aggregate_sums *sums, const struct comments_clock *cpu_clock,
		    struct comments *out_comments)
{
	out_comments->count = 0;
	if (kind == PROFILE_CPU)
		add_cpu(out_comments, control, sums, cpu_clock);
	else if (kind == PROFILE_HEAP)
		add_heap(out_comments, control, sums);
	add_run(out_comments);
	for (size_t i = 0; i < ARRAY_LENGTH(plain_counters); i++) {
		uint64_t count = count_of(control, plain_counters[i].counter);
		if (count && plain_counters[i].kinds & 1u << kind)
			add(out_comments, "cprof: %" PRIu64 " %s", count, plain_counters[i].words);
	}
}
