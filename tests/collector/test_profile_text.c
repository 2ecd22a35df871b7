/* SPDX-License-Identifier: MIT */
/*
 * The text form of profiles: as Go writes it, and so that pprof reads the same figures
 * from it as from the file.
 *
 * Context: tests.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fake_profile.h"
#include "fixture.h"
#include "profile_text.h"

static struct text_buffer text;

static void end(void)
{
	text_buffer_free(&text);
	fake_profile_end();
}

TestSuite(profile_text, .init = fake_profile_begin, .fini = end);

static const char *write_text(enum profile_kind kind, const char *name)
{
	text_buffer_free(&text);
	fake_profile.kind = kind;
	profile_text_write(&fake_profile, name, NULL, NULL, &text);
	cr_assert(!text.is_failed);
	fixture_write("text", text.bytes);
	return text.bytes;
}

static void set_values(size_t sample, int64_t a, int64_t b, int64_t c, int64_t d)
{
	const int64_t values[PROFILE_VALUES_MAX] = {a, b, c, d};
	memcpy(fake_samples[sample].values, values, sizeof values);
}

Test(profile_text, counts_threads)
{
	char want[256];
	ADD_SAMPLE(1, 0, interrupted_at(MAIN, fake_inner_offset), called_from(MAIN, fake_main_offset));
	ADD_SAMPLE(2, 0, called_from(MAIN, fake_main_offset));
	for (int i = 0; i < 2; i++)
		set_values((size_t)i, i + 1, 0, 0, 0);
	const char *got = write_text(PROFILE_THREADS, "goroutine");
	cr_expect(strncmp(got, "goroutine profile: total 3\n", 27) == 0, "%s", got);
	/* Most first; addresses as return addresses, also the interrupted one. */
	snprintf(want, sizeof want, "2 @ %#lx\n#\t%#lx\tmain+", (unsigned long)(MAIN_BIAS + fake_main_offset),
		 (unsigned long)(MAIN_BIAS + fake_main_offset - 1));
	expect_contains(got, want);
	snprintf(want, sizeof want, "1 @ %#lx %#lx\n", (unsigned long)(MAIN_BIAS + fake_inner_offset + 1),
		 (unsigned long)(MAIN_BIAS + fake_main_offset));
	expect_contains(got, want);
	expect_contains(got, "\tinner+0x");
	expect_contains(got, "\touter+0x");
	expect_contains(fixture_pprof("-raw text"), "goroutine/count");
}

Test(profile_text, equal_stacks_are_added_up_unless_labels_differ)
{
	const struct profile_label label = {.key = "na\"me", .text = "a\\b\n"};
	for (size_t i = 0; i < 3; i++) {
		ADD_SAMPLE(1, 0, called_from(MAIN, fake_main_offset));
		set_values(i, 1, 0, 0, 0);
	}
	fake_samples[2].labels = &label;
	fake_samples[2].label_count = 1;
	const char *got = write_text(PROFILE_THREADS, "threads");
	expect_contains(got, "total 3\n2 @ ");
	expect_contains(got, "\n# labels: {\"na\\\"me\":\"a\\\\b\\x0a\"}\n");
}

Test(profile_text, hides_frames_of_cprof)
{
	char hidden[64];
	ADD_SAMPLE(1, 0, called_from(CPROF, 0x1234), called_from(MAIN, fake_main_offset));
	const char *got = write_text(PROFILE_THREADS, "threads");
	snprintf(hidden, sizeof hidden, "%#x", 0x1234);
	expect_lacks(got, hidden + 2);
}

Test(profile_text, an_exact_heap_is_written_as_it_is)
{
	ADD_SAMPLE(1, 0, called_from(MAIN, fake_main_offset));
	set_values(0, 10, 1000, 4, 400);
	fake_profile.period = 1;
	const char *got = write_text(PROFILE_HEAP, "heap");
	expect_contains(got, "heap profile: 4: 400 [10: 1000] @ heap/2\n4: 400 [10: 1000] @ 0x");
	expect_contains(
		got,
		"\n# runtime.MemStats\n# Alloc = 400\n# TotalAlloc = 1000\n# Mallocs = 10\n# Frees = 6\n");
}

/* What pprof makes of the text again, by its raw listing: "objects bytes objects bytes: ids". */
static void read_back(long out_values[4])
{
	const char *raw = fixture_pprof("-raw text");
	const char *samples = strstr(raw, "inuse_space/bytes");
	cr_assert(samples, "%s", raw);
	samples = strchr(samples, '\n');
	cr_assert_eq(sscanf(samples, " %ld %ld %ld %ld", &out_values[0], &out_values[1], &out_values[2],
			    &out_values[3]),
		     4, "%s", samples);
}

Test(profile_text, pprof_scales_an_estimate_back_to_what_it_was)
{
	static const int64_t sizes[] = {16, 1000, 100000, 524288, 10000000};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		long values[4];
		/* As if a hundred blocks had been sampled at the default rate, thirty of them in use. */
		double chance = 1 - __builtin_exp(-(double)sizes[i] / 524288);
		int64_t allocated = (int64_t)(100 / chance);
		int64_t used = (int64_t)(30 / chance);
		fake_profile.sample_count = 0;
		fake_profile.period = 524288;
		ADD_SAMPLE(1, 0, called_from(MAIN, fake_main_offset));
		set_values(0, allocated, allocated * sizes[i], used, used * sizes[i]);
		write_text(PROFILE_HEAP, "heap");
		expect_contains(text.bytes, "@ heap/1048576\n");
		expect_contains(text.bytes, "heap profile: 30: ");
		read_back(values);
		/* Whole samples: a hundredth, a thirtieth at most. */
		cr_expect(llabs(values[0] - allocated) <= allocated / 50, "%ld of %ld", values[0],
			  (long)allocated);
		cr_expect(llabs(values[2] - used) <= used / 15, "%ld of %ld", values[2], (long)used);
		cr_expect(llabs(values[3] - used * sizes[i]) <= used * sizes[i] / 15);
	}
}

Test(profile_text, delays_are_nanoseconds_and_sorted)
{
	ADD_SAMPLE(1, 0, called_from(MAIN, fake_main_offset));
	ADD_SAMPLE(1, 0, called_from(MAIN, fake_inner_offset));
	set_values(0, 5, 100, 0, 0);
	set_values(1, 1, 9000000, 0, 0);
	const char *got = write_text(PROFILE_BLOCK, "block");
	cr_expect(strncmp(got, "--- contention:\ncycles/second=1000000000\n9000000 1 @ 0x", 54) == 0, "%s",
		  got);
	expect_contains(got, "\n100 5 @ 0x");
	expect_contains(fixture_pprof("-raw text"), "contentions/count delay/nanoseconds");
	got = write_text(PROFILE_MUTEX, "mutex");
	cr_expect(strncmp(got, "--- mutex:\ncycles/second=1000000000\nsampling period=1\n", 54) == 0, "%s",
		  got);
	expect_contains(fixture_pprof("-raw text"), "contentions/count delay/nanoseconds");
}

Test(profile_text, names_addresses)
{
	const char *name = profile_text_name_at(&fake_profile, MAIN_BIAS + fake_main_offset);
	cr_assert(name);
	cr_expect_str_eq(name, "main");
	cr_expect(!profile_text_name_at(&fake_profile, 1));
	cr_expect(!profile_text_name_at(&fake_profile, UINT64_MAX));
}

Test(profile_text, is_valid_without_samples)
{
	cr_expect_str_eq(write_text(PROFILE_THREADCREATE, "threadcreate"), "threadcreate profile: total 0\n");
	write_text(PROFILE_HEAP, "heap");
	write_text(PROFILE_BLOCK, "block");
}
