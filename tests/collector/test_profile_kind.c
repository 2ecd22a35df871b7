/* SPDX-License-Identifier: MIT */
/*
 * Each kind of profile as the encoder writes it: the types that Go has, what
 * `go tool pprof` makes of them, and what is cut from heap profiles.
 *
 * Context: tests.
 */
#include <stdio.h>

#include "cprof_compiler.h"
#include "fake_profile.h"
#include "fixture.h"
#include "perf_map.h"
#include "profile_kind.h"

TestSuite(profile_kind, .init = fake_profile_begin, .fini = fake_profile_end);

Test(profile_kind, writes_the_types_of_a_cpu_profile_as_go_does)
{
	ADD_SAMPLE(3, 0, interrupted_at(MAIN, fake_inner_offset), called_from(MAIN, fake_main_offset));
	fake_profile_encode("cpu");
	const char *raw = fixture_pprof("-raw cpu");
	expect_contains(raw, "PeriodType: cpu nanoseconds\nPeriod: 10000000\n");
	expect_contains(raw, "Duration: 5s\n");
	expect_contains(raw, "Samples:\nsamples/count cpu/nanoseconds\n");
	expect_contains(raw, "          3   30000000:");
	cr_expect_eq(decoded->default_sample_type, 0);
	cr_expect_eq(decoded->drop_frames, 0);
	cr_expect_eq(decoded->time_nanos, 1700000000000000000);
	cr_expect_str_eq(decoded_string(0), "");
	/* The last type is the one that is shown. */
	expect_contains(fixture_pprof("-top cpu"), "Total samples = 30ms");
}

Test(profile_kind, writes_the_types_of_a_heap_profile_as_go_does)
{
	uint64_t frames[] = {called_from(MAIN, fake_main_offset)};
	fake_samples[0] =
		(struct profile_sample){.frames = frames, .frame_count = 1, .values = {4, 1000, 1, 250}};
	fake_profile.kind = PROFILE_HEAP;
	fake_profile.sample_count = 1;
	fake_profile.duration_ns = 0;
	fake_profile.period = 524288;
	fake_profile_encode("heap");
	const char *raw = fixture_pprof("-raw heap");
	expect_contains(raw, "PeriodType: space bytes\nPeriod: 524288\n");
	expect_contains(
		raw, "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes[dflt]\n");
	expect_contains(raw, "          4       1000          1        250:");
	expect_contains(raw, "bytes:[250 bytes]");
	cr_expect_str_eq(decoded_string(decoded->default_sample_type), "inuse_space");
	expect_contains(fixture_pprof("-top heap"), "Type: inuse_space");
	expect_contains(fixture_pprof("-sample_index=alloc_space -top heap"), "1000B");
	expect_contains(fixture_pprof("-tags heap"), "250B");
	cr_expect_eq(decoded->n_sample, 1);
	const Perftools__Profiles__Label *label = decoded->sample[0]->label[0];
	cr_expect_str_eq(decoded_string(label->key), "bytes");
	cr_expect_str_eq(decoded_string(label->num_unit), "bytes");
	cr_expect_eq(label->num, 250);
}

Test(profile_kind, has_no_average_size_of_nothing)
{
	uint64_t frames[] = {called_from(MAIN, fake_main_offset)};
	fake_samples[0] =
		(struct profile_sample){.frames = frames, .frame_count = 1, .values = {0, 0, 1, 250}};
	fake_profile.kind = PROFILE_HEAP;
	fake_profile.sample_count = 1;
	fake_profile_encode("heap");
	cr_expect_eq(decoded->sample[0]->n_label, 0);
}

static void encode_one(enum profile_kind kind, int64_t first, int64_t second)
{
	ADD_SAMPLE(0, 0, called_from(MAIN, fake_inner_offset), called_from(MAIN, fake_main_offset));
	fake_samples[fake_profile.sample_count - 1].values[0] = first;
	fake_samples[fake_profile.sample_count - 1].values[1] = second;
	fake_profile.kind = kind;
	fake_profile.duration_ns = 0;
	fake_profile.period = 1;
	fake_profile_encode(profile_kinds[kind].name);
}

Test(profile_kind, writes_the_types_of_block_and_mutex_profiles_as_go_does)
{
	static const enum profile_kind both[] = {PROFILE_BLOCK, PROFILE_MUTEX};
	for (size_t i = 0; i < ARRAY_LENGTH(both); i++) {
		const char *file = profile_kinds[both[i]].name;
		char arguments[64];
		fake_profile.sample_count = 0;
		encode_one(both[i], 4, 2000000000);
		snprintf(arguments, sizeof arguments, "-raw %s", file);
		const char *raw = fixture_pprof(arguments);
		expect_contains(raw, "PeriodType: contentions count\nPeriod: 1\n");
		expect_contains(raw, "Samples:\ncontentions/count delay/nanoseconds\n");
		expect_contains(raw, "          4 2000000000:");
		cr_expect_eq(decoded->default_sample_type, 0);
		cr_expect_eq(decoded->sample[0]->n_label, 0);
		/* What pprof offers for these two, and nothing else. */
		snprintf(arguments, sizeof arguments, "-contentions -top %s", file);
		expect_contains(fixture_pprof(arguments), "Showing nodes accounting for 4, 100% of 4 total");
		snprintf(arguments, sizeof arguments, "-total_delay -top %s", file);
		expect_contains(fixture_pprof(arguments),
				"Showing nodes accounting for 2s, 100% of 2s total");
		snprintf(arguments, sizeof arguments, "-mean_delay -top %s", file);
		expect_contains(fixture_pprof(arguments), "500ms");
		snprintf(arguments, sizeof arguments, "-top %s", file);
		expect_contains(fixture_pprof(arguments), "Type: delay");
	}
}

Test(profile_kind, writes_the_types_of_counts_of_threads)
{
	encode_one(PROFILE_THREADCREATE, 3, 0);
	const char *raw = fixture_pprof("-raw threadcreate");
	expect_contains(raw, "PeriodType: threadcreate count\nPeriod: 1\n");
	expect_contains(raw, "Samples:\nthreadcreate/count\n          3: ");
	fake_profile.sample_count = 0;
	encode_one(PROFILE_THREADS, 5, 0);
	raw = fixture_pprof("-raw threads");
	expect_contains(raw, "PeriodType: threads count\nPeriod: 1\n");
	expect_contains(raw, "Samples:\nthreads/count\n          5: ");
	expect_contains(fixture_pprof("-top threads"), "Type: threads");
}

Test(profile_kind, cuts_allocators_of_the_language_from_heap_profiles)
{
	static const char *const cut[] = {
		"operator new",
		"operator new[]",
		"std::__new_allocator<int>::allocate",
		"std::allocator_traits<std::allocator<char> >::allocate",
		"__gnu_cxx::new_allocator<int>::allocate",
		"__rustc::__rust_alloc",
		"__rdl_alloc_zeroed",
		"alloc::alloc::alloc",
		"<alloc::alloc::Global as core::alloc::Allocator>::allocate",
	};
	static const char *const kept[] = {
		"Pool::operator new",
		"xmalloc",
		"my::allocator<int>::allocate",
		"renew",
		"<alloc::raw_vec::RawVecInner>::grow",
	};
	static uint64_t frames[16][2];
	char text[1024];
	size_t used = (size_t)sprintf(text, "%x 10 caller\n", 0x3000), count = 0;
	for (size_t i = 0; i < ARRAY_LENGTH(cut) + ARRAY_LENGTH(kept); i++) {
		bool is_cut = i < ARRAY_LENGTH(cut);
		used += (size_t)sprintf(text + used, "%zx 10 %s\n", 0x1000 + 16 * i,
					is_cut ? cut[i] : kept[i - ARRAY_LENGTH(cut)]);
		frames[i][0] = interrupted_at(CPROF_MODULE_NONE, 0x1000 + 16 * i);
		frames[i][1] = called_from(CPROF_MODULE_NONE, 0x3008);
		fake_samples[count++] = (struct profile_sample){
			.frames = frames[i], .frame_count = 2, .values = {1, 1 << i, 1, 1 << i}};
	}
	struct perf_map *map = perf_map_parse(text, used);
	fake_profile.jit = map;
	fake_profile.kind = PROFILE_HEAP;
	fake_profile.sample_count = count;
	fake_profile_encode("heap");
	perf_map_free(map);
	const char *top = fixture_pprof("-top -nodefraction=0 heap");
	for (size_t i = 0; i < ARRAY_LENGTH(kept); i++)
		expect_contains(top, kept[i]);
	for (size_t i = 0; i < ARRAY_LENGTH(cut); i++) {
		char shown[128];
		snprintf(shown, sizeof(shown), "%%  %s\n", cut[i]);
		expect_lacks(top, shown);
	}
	/* 2^9 - 1: what was cut is its caller's. */
	expect_contains(top, "      511B");
}
