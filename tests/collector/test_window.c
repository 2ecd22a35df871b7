/* SPDX-License-Identifier: MIT */
/*
 * What happened in a span of time: figures, losses and time of it, and of nothing else.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "fake_image.h"
#include "fixture.h"
#include "window.h"

#define ONE CPROF_WEIGHT_ONE
#define SECOND UINT64_C(1000000000)
#define ALL (1u << PROFILE_CPU | 1u << PROFILE_HEAP | 1u << PROFILE_BLOCK)

static struct fake_files files;
static struct window window;
static struct aggregate aggregate;
static struct writer_moment moment = {.owner = RING_OWNER_RUNNING, .root_fd = -1};

static void begin(void)
{
	fixture_begin();
	fake_files_open(&files, true);
	moment.end_monotonic_ns = files.control->start_monotonic_ns + 10 * SECOND;
	moment.cpu_clock = (struct comments_clock){true, 4 * SECOND, 0};
}

static void end(void)
{
	aggregate_free(&aggregate);
	window_close(&window);
	fake_files_close(&files);
	fixture_end();
}

TestSuite(window, .init = begin, .fini = end);

static void take(void)
{
	aggregate_free(&aggregate);
	cr_assert_eq(writer_take(&files.writer, &moment, &aggregate), 0);
}

static void open_now(void)
{
	take();
	cr_assert_eq(window_open(&files.writer, &moment, &aggregate, ALL, &window), 0);
}

static void subtract(enum profile_kind kind)
{
	take();
	window_subtract(&window, kind, &aggregate);
}

Test(window, shows_only_what_came_since)
{
	fake_files_record(&files, 0x10, CPROF_KIND_CPU, 5 * ONE, 50);
	fake_files_record(&files, 0x20, CPROF_KIND_CPU, 7 * ONE, 70);
	open_now();
	fake_files_record(&files, 0x20, CPROF_KIND_CPU, 1 * ONE, 10);
	fake_files_record(&files, 0x30, CPROF_KIND_CPU, 2 * ONE, 20);
	subtract(PROFILE_CPU);
	cr_assert_eq(aggregate.sample_count[PROFILE_CPU], 2);
	int64_t counts = 0;
	for (int i = 0; i < 2; i++) {
		const struct profile_sample *sample = &aggregate.samples[PROFILE_CPU][i];
		uint64_t leaf = cprof_frame_offset(sample->frames[0]);
		cr_expect_eq(sample->values[0], leaf == 0x20 ? 1 : 2, "%#lx", (unsigned long)leaf);
		cr_expect_eq(sample->values[1], leaf == 0x20 ? 10 : 20);
		counts += sample->values[0];
	}
	cr_expect_eq(counts, 3);
	cr_expect_eq(aggregate.sums[PROFILE_CPU].weight, 3 * ONE);
	cr_expect_eq(aggregate.sums[PROFILE_CPU].value, 30);
}

Test(window, is_empty_when_nothing_happened)
{
	fake_files_record(&files, 0x10, CPROF_KIND_CPU, 5 * ONE, 50);
	open_now();
	subtract(PROFILE_CPU);
	cr_expect_eq(aggregate.sample_count[PROFILE_CPU], 0);
	cr_expect_eq(aggregate.sums[PROFILE_CPU].value, 0);
}

Test(window, from_the_start_shows_everything)
{
	fake_files_record(&files, 0x10, CPROF_KIND_CPU, 5 * ONE, 50);
	window_open_at_start(&files.writer, &window);
	subtract(PROFILE_CPU);
	cr_expect_eq(aggregate.sample_count[PROFILE_CPU], 1);
	cr_expect_eq(aggregate.sums[PROFILE_CPU].value, 50);
}

Test(window, what_is_freed_counts_against_what_is_in_use)
{
	uint32_t stack = fake_leaf(&files.image.segment, 0x40);
	files.control->heap_state = CPROF_HEAP_ON;
	fake_files_record(&files, 0x40, CPROF_KIND_ALLOC, 10 * ONE, 1000);
	fake_live_add(&files.image.segment, 0x1000, stack, 10 * ONE, 1000);
	open_now();
	fake_live_remove(&files.image.segment, 0x1000);
	subtract(PROFILE_HEAP);
	cr_assert_eq(aggregate.sample_count[PROFILE_HEAP], 1);
	const int64_t *values = aggregate.samples[PROFILE_HEAP][0].values;
	cr_expect_eq(values[0], 0);
	cr_expect_eq(values[1], 0);
	cr_expect_eq(values[2], -10);
	cr_expect_eq(values[3], -1000);
}

Test(window, may_leave_what_is_in_use_as_it_is)
{
	uint32_t stack = fake_leaf(&files.image.segment, 0x40);
	files.control->heap_state = CPROF_HEAP_ON;
	fake_files_record(&files, 0x40, CPROF_KIND_ALLOC, 10 * ONE, 1000);
	fake_files_record(&files, 0x50, CPROF_KIND_ALLOC, 3 * ONE, 300);
	fake_live_add(&files.image.segment, 0x1000, stack, 4 * ONE, 400);
	open_now();
	take();
	cr_expect(!window_subtract_first(&window, PROFILE_HEAP, 2, &aggregate), "nothing has changed");
	cr_assert_eq(aggregate.sample_count[PROFILE_HEAP], 1, "of 0x50 nothing is in use");
	fake_files_record(&files, 0x40, CPROF_KIND_ALLOC, 1 * ONE, 100);
	take();
	cr_expect(window_subtract_first(&window, PROFILE_HEAP, 2, &aggregate));
	cr_assert_eq(aggregate.sample_count[PROFILE_HEAP], 1);
	const int64_t *values = aggregate.samples[PROFILE_HEAP][0].values;
	cr_expect_eq(values[0], 1);
	cr_expect_eq(values[1], 100);
	cr_expect_eq(values[2], 4);
	cr_expect_eq(values[3], 400);
	cr_expect_eq(aggregate.sums[PROFILE_HEAP].value, 100);
	fake_live_remove(&files.image.segment, 0x1000);
	take();
	cr_expect(window_subtract_first(&window, PROFILE_HEAP, 2, &aggregate), "what is in use has");
}

Test(window, kinds_that_were_not_asked_for_are_left_whole)
{
	fake_files_record(&files, 0x10, CPROF_KIND_MUTEX, 5 * ONE, 50);
	open_now();
	take();
	cr_expect_eq(aggregate.sample_count[PROFILE_MUTEX], 1);
	cr_expect_eq(aggregate.samples[PROFILE_MUTEX][0].values[1], 50);
}

Test(window, tells_its_own_time_clock_and_losses)
{
	struct writer_profile described;
	store_relaxed(&files.control->counters[CPROF_LOST_CPU_SAMPLES], UINT64_C(3));
	store_relaxed(&files.control->counters[CPROF_STACKS_BROKEN], UINT64_C(8));
	open_now();
	store_relaxed(&files.control->counters[CPROF_STACKS_BROKEN], UINT64_C(9));
	moment.end_monotonic_ns += 2 * SECOND;
	moment.cpu_clock.clock_ns += SECOND;
	fake_files_record(&files, 0x10, CPROF_KIND_CPU, 1 * ONE, SECOND / 2);
	subtract(PROFILE_CPU);
	window_describe(&window, &files.writer, &aggregate, PROFILE_CPU, &moment, &described);
	cr_expect_eq(described.profile.duration_ns, (int64_t)(2 * SECOND));
	cr_expect_eq(described.profile.time_ns, window.begin_realtime_ns);
	cr_assert_geq(described.profile.comment_count, 1);
	cr_expect(strstr(described.profile.comments[0], "cpu clock 1.000 s = sampled 0.500 s + lost 0.000 s"),
		  "%s", described.profile.comments[0]);
	bool is_broken_told = false;
	for (size_t i = 0; i < described.profile.comment_count; i++) {
		cr_expect(!strstr(described.profile.comments[i], "are lost"), "lost before the window");
		is_broken_told |= strncmp(described.profile.comments[i], "cprof: 1 samples have a stack",
					  29) == 0;
	}
	cr_expect(is_broken_told);
	writer_profile_fini(&described);
	/* A difference is of the moment at which it was taken. */
	window_describe(&window, &files.writer, &aggregate, PROFILE_BLOCK, &moment, &described);
	cr_expect_eq(described.profile.time_ns, window.begin_realtime_ns + (int64_t)(2 * SECOND));
	writer_profile_fini(&described);
}

Test(window, labels_tell_samples_apart)
{
	const uint64_t frames[] = {1, 2};
	const struct profile_label labels[] = {{.key = "state", .text = "running"},
					       {.key = "state", .text = "sleeping"},
					       {.key = "bytes", .number = 8}};
	const struct profile_sample samples[] = {
		{.frames = frames, .frame_count = 2},
		{.frames = frames, .frame_count = 2, .labels = &labels[0], .label_count = 1},
		{.frames = frames, .frame_count = 2, .labels = &labels[1], .label_count = 1},
		{.frames = frames, .frame_count = 2, .labels = &labels[2], .label_count = 1},
		{.frames = frames, .frame_count = 1},
		{.frames = frames, .frame_count = 2, .stack_flags = CPROF_STACK_BROKEN},
	};
	for (int i = 0; i < 6; i++)
		for (int j = 0; j < i; j++)
			cr_expect_neq(window_hash_sample(&samples[i]), window_hash_sample(&samples[j]),
				      "%d %d", i, j);
}
