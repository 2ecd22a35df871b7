/* SPDX-License-Identifier: MIT */
/*
 * What profiles say about themselves: hidden when all is well, shown when something
 * is missing.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "comments.h"
#include "cprof_version.h"
#include "cprof_wire.h"

#define S UINT64_C(1000000000)

static struct cprof_control control;
static struct comments comments;
static const struct comments_clock no_clock;
static const struct aggregate_sums cpu = {.weight = 1231 * CPROF_WEIGHT_ONE, .value = 12310000000};
static const struct aggregate_sums heap = {
	.weight = 9 * CPROF_WEIGHT_ONE, .value = 900, .live_weight = 2 * CPROF_WEIGHT_ONE, .live_value = 200};
static const struct aggregate_sums waits = {.weight = 12 * CPROF_WEIGHT_ONE, .value = 34567000000};

static bool has_line(const char *line)
{
	for (size_t i = 0; i < comments.count; i++)
		if (strcmp(comments.lines[i], line) == 0)
			return true;
	return false;
}

Test(comments, are_hidden_when_nothing_was_lost)
{
	const struct comments_clock clock = {.is_known = true, .clock_ns = 12340000000};
	store_relaxed(&control.heap_rate_bytes, 524288);
	comments_build(PROFILE_CPU, &control, &cpu, &clock, &comments);
	cr_assert_eq(comments.count, 1);
	cr_expect_str_eq(comments.lines[0],
			 "# cprof " CPROF_VERSION ": cpu clock 12.340 s = sampled 12.310 s + lost 0.000 s + "
			 "not covered 0.030 s");
	comments_build(PROFILE_HEAP, &control, &heap, &clock, &comments);
	cr_assert_eq(comments.count, 1);
	cr_expect_str_eq(comments.lines[0], "# cprof " CPROF_VERSION
					    ": heap sampled about every 524288 bytes: allocated 9 blocks, "
					    "900 bytes; in use 2 blocks, 200 bytes");
}

Test(comments, say_when_the_clock_is_old_or_unknown)
{
	struct comments_clock clock = {.is_known = true, .clock_ns = 12 * S, .age_ns = S / 10};
	comments_build(PROFILE_CPU, &control, &cpu, &clock, &comments);
	cr_expect(strstr(comments.lines[0], "cpu clock 12.000 s (read 0.100 s before the end) ="), "%s",
		  comments.lines[0]);
	clock.is_known = false;
	comments_build(PROFILE_CPU, &control, &cpu, &clock, &comments);
	cr_expect(strstr(comments.lines[0], "cpu clock not known; sampled 12.310 s"), "%s",
		  comments.lines[0]);
}

Test(comments, show_what_was_lost_where_it_belongs)
{
	const struct comments_clock clock = {.is_known = true, .clock_ns = 13 * S};
	store_relaxed(&control.heap_rate_bytes, 1);
	store_relaxed(&control.counters[CPROF_LOST_CPU_SAMPLES], 5);
	store_relaxed(&control.counters[CPROF_LOST_CPU_NS], S / 20);
	store_relaxed(&control.counters[CPROF_LOST_LIVE_BLOCKS], 3);
	store_relaxed(&control.counters[CPROF_THREADS_STARTED], 7);
	store_relaxed(&control.counters[CPROF_EARLY_ALLOCATIONS], 8);
	comments_build(PROFILE_CPU, &control, &cpu, &clock, &comments);
	cr_expect_eq(comments.count, 2);
	cr_expect_eq(strncmp(comments.lines[0], "cprof ", 6), 0, "%s", comments.lines[0]);
	cr_expect(has_line("cprof: 5 CPU samples (0.050 s) are lost"));
	comments_build(PROFILE_HEAP, &control, &heap, &clock, &comments);
	cr_expect_eq(comments.count, 3);
	cr_expect(strstr(comments.lines[0], "heap counted exactly (rate 1)"), "%s", comments.lines[0]);
	cr_expect(has_line("cprof: 3 sampled blocks are missing from what is in use: the live table is full "
			   "(CPROF_MEM)"));
	cr_expect(has_line("# cprof: 8 allocations were made before sampling began"));
}

Test(comments, tell_of_rates_that_were_changed)
{
	static const char changed[] = "# cprof: the rate was changed while the program ran; each sample is "
				      "weighed with the rate that it was drawn with";
	store_relaxed(&control.heap_rate_bytes, 1);
	store_relaxed(&control.rates_changed, CPROF_RATE_HEAP);
	comments_build(PROFILE_HEAP, &control, &heap, &no_clock, &comments);
	cr_expect(has_line(changed));
	cr_expect_not(strstr(comments.lines[0], "exactly"), "%s", comments.lines[0]);
	store_relaxed(&control.heap_rate_bytes, 0);
	comments_build(PROFILE_HEAP, &control, &heap, &no_clock, &comments);
	cr_expect(strstr(comments.lines[0], "heap is switched off by now"), "%s", comments.lines[0]);
	comments_build(PROFILE_CPU, &control, &cpu, &no_clock, &comments);
	cr_expect_not(has_line(changed));
}

Test(comments, have_room_for_every_counter_at_once)
{
	const struct comments_clock clock = {.is_known = true, .clock_ns = UINT64_MAX, .age_ns = UINT64_MAX};
	const struct aggregate_sums most = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	store_relaxed(&control.block_rate_ns, UINT64_MAX);
	store_relaxed(&control.mutex_fraction, UINT32_MAX);
	for (int i = 0; i < CPROF_COUNTER_COUNT; i++)
		store_relaxed(&control.counters[i], UINT64_MAX);
	for (int kind = 0; kind < PROFILE_THREADS; kind++) {
		comments_build((enum profile_kind)kind, &control, &most, &clock, &comments);
		cr_expect_lt(comments.count, COMMENTS_MAX);
		cr_expect_gt(comments.count, 6);
		for (size_t i = kind == PROFILE_CPU; i < comments.count; i++)
			cr_expect_lt(strlen(comments.lines[i]), COMMENTS_LINE_BYTES - 1, "%s",
				     comments.lines[i]);
	}
}

/* The first line of a block or mutex profile with these rates. */
static const char *head_of(enum profile_kind kind, uint64_t block_rate_ns, uint32_t mutex_fraction)
{
	store_relaxed(&control.block_rate_ns, block_rate_ns);
	store_relaxed(&control.mutex_fraction, mutex_fraction);
	comments_build(kind, &control, &waits, &no_clock, &comments);
	return comments.lines[0];
}

Test(comments, say_which_waits_are_counted)
{
	cr_expect_str_eq(head_of(PROFILE_BLOCK, 1, 0),
			 "# cprof " CPROF_VERSION ": block counts every wait (rate 1): 12 waits, 34.567 s of "
			 "delay");
	cr_expect_str_eq(head_of(PROFILE_BLOCK, 10000, 0),
			 "# cprof " CPROF_VERSION ": block counts waits of 10000 ns and longer, samples "
			 "shorter ones: 12 waits, 34.567 s of delay");
	cr_expect_str_eq(head_of(PROFILE_BLOCK, 0, 0),
			 "# cprof " CPROF_VERSION ": block is switched off by now: 12 waits, 34.567 s "
			 "of delay");
	cr_expect_str_eq(head_of(PROFILE_MUTEX, 0, 1),
			 "# cprof " CPROF_VERSION ": mutex counts every contention (fraction 1): 12 waits, "
			 "34.567 s of delay");
	cr_expect_str_eq(head_of(PROFILE_MUTEX, 0, 10),
			 "# cprof " CPROF_VERSION ": mutex samples one of 10 contentions: 12 waits, "
			 "34.567 s of delay");
	cr_expect_eq(comments.count, 1);
}

Test(comments, show_lost_waits_in_their_own_profile)
{
	store_relaxed(&control.counters[CPROF_LOST_BLOCK_WAITS], 3);
	store_relaxed(&control.counters[CPROF_LOST_BLOCK_NS], 2 * S);
	store_relaxed(&control.counters[CPROF_WAITS_UNTRACKED], 4);
	cr_expect_eq(strncmp(head_of(PROFILE_BLOCK, 1, 1), "cprof ", 6), 0, "%s", comments.lines[0]);
	cr_expect_eq(comments.count, 2);
	cr_expect(has_line("cprof: about 3 waits (2.000 s) are lost"));
	cr_expect_eq(strncmp(head_of(PROFILE_MUTEX, 1, 1), "# cprof ", 8), 0, "%s", comments.lines[0]);
	cr_expect_eq(comments.count, 2);
	cr_expect(has_line("cprof: 4 waits are charged to no holder: its release is not seen, or the table "
			   "of waiters was full"));
	comments_build(PROFILE_CPU, &control, &cpu, &no_clock, &comments);
	cr_expect_eq(comments.count, 1);
}

Test(comments, count_started_threads)
{
	comments_build(PROFILE_THREADCREATE, &control, &waits, &no_clock, &comments);
	cr_expect_eq(comments.count, 1);
	cr_expect(has_line("# cprof " CPROF_VERSION ": 12 threads started"));
	store_relaxed(&control.counters[CPROF_LOST_THREAD_STARTS], 2);
	comments_build(PROFILE_THREADCREATE, &control, &waits, &no_clock, &comments);
	cr_expect_eq(comments.count, 2);
	cr_expect(has_line("cprof " CPROF_VERSION ": 12 threads started"));
	cr_expect(has_line("cprof: 2 threads were started, but are not in this profile"));
}

Test(comments, name_the_run)
{
	setenv("CPROF_RUN", "nightly-42.b", 1);
	comments_build(PROFILE_CPU, &control, &cpu, &no_clock, &comments);
	cr_expect(has_line("# cprof: run nightly-42.b"));
	comments_build_run(&comments);
	cr_expect_eq(comments.count, 1);
	cr_expect(has_line("# cprof: run nightly-42.b"));
	setenv("CPROF_RUN", "two words", 1);
	comments_build(PROFILE_CPU, &control, &cpu, &no_clock, &comments);
	cr_expect_eq(comments.count, 1);
	comments_build_run(&comments);
	cr_expect_eq(comments.count, 0);
}
