/* SPDX-License-Identifier: MIT */
/*
 * Samples as the encoder writes them, read with the generated decoder and with
 * `go tool pprof`.
 *
 * Context: tests.
 */
#include <stdlib.h>

#include "cprof_compiler.h"
#include "fake_profile.h"
#include "fixture.h"
#include "pprof.h"

TestSuite(pprof, .init = fake_profile_begin, .fini = fake_profile_end);

Test(pprof, is_valid_without_samples)
{
	fake_profile_encode("cpu");
	cr_expect_eq(decoded->n_sample, 0);
	cr_expect_eq(decoded->n_sample_type, 2);
	expect_contains(fixture_pprof("-raw cpu"), "cpu/nanoseconds");
	fake_profile.module_count = 0;
	fake_profile.comment_count = 0;
	fake_profile_encode("cpu");
	cr_expect_eq(decoded->n_mapping, 0);
	fixture_pprof("-raw cpu");
}

Test(pprof, carries_comments)
{
	fake_profile_encode("cpu");
	cr_assert_eq(decoded->n_comment, 2);
	cr_expect_str_eq(decoded_string(decoded->comment[0]), "# quiet");
	ADD_SAMPLE(1, 0, called_from(MAIN, fake_main_offset));
	fake_profile_encode("cpu");
	const char *top = fixture_pprof("-top cpu");
	expect_contains(top, "loud");
	expect_lacks(top, "quiet");
	expect_contains(fixture_pprof("-comments cpu"), "# quiet");
}

Test(pprof, adds_up_equal_stacks_and_drops_zeros)
{
	ADD_SAMPLE(1, 0, interrupted_at(MAIN, fake_inner_offset), called_from(MAIN, fake_main_offset));
	ADD_SAMPLE(2, 0, interrupted_at(MAIN, fake_inner_offset), called_from(MAIN, fake_main_offset));
	/* The same address, reached as a return address. */
	ADD_SAMPLE(4, 0, called_from(MAIN, fake_inner_offset + 1), called_from(MAIN, fake_main_offset));
	ADD_SAMPLE(0, 0, called_from(MAIN, fake_main_offset));
	ADD_SAMPLE(8, 0, called_from(MAIN, fake_main_offset), called_from(MAIN, fake_main_offset));
	fake_profile_encode("cpu");
	cr_assert_eq(decoded->n_sample, 2);
	cr_expect_eq(decoded->sample[0]->value[0], 7);
	cr_expect_eq(decoded->sample[0]->value[1], 70000000);
	cr_expect_eq(decoded->sample[1]->value[0], 8);
	cr_expect_eq(decoded->n_location, 2);
	cr_expect_eq(decoded->location[0]->address, MAIN_BIAS + fake_inner_offset);
	cr_expect_eq(decoded->location[1]->address, MAIN_BIAS + fake_main_offset - 1);
}

Test(pprof, hides_frames_of_cprof)
{
	ADD_SAMPLE(1, 0, interrupted_at(CPROF, 0x1000), called_from(MAIN, fake_main_offset));
	ADD_SAMPLE(2, 0, called_from(MAIN, fake_main_offset));
	ADD_SAMPLE(4, 0, called_from(CPROF, 0x2000), called_from(MAIN, fake_main_offset),
		   called_from(CPROF, 0x3000));
	ADD_SAMPLE(8, 0, called_from(CPROF, 0x2000));
	fake_profile_encode("cpu");
	cr_assert_eq(decoded->n_sample, 2);
	cr_expect_eq(decoded->sample[0]->value[0], 7);
	cr_expect_str_eq(decoded_stack(0), "main");
	cr_expect_eq(decoded->sample[1]->value[0], 8);
	cr_expect_str_eq(decoded_stack(1), PPROF_NO_STACK);
	for (size_t i = 0; i < decoded->n_mapping; i++)
		expect_lacks(decoded_string(decoded->mapping[i]->filename), "libcprof");
}

Test(pprof, says_where_a_stack_is_not_whole)
{
	ADD_SAMPLE(1, CPROF_STACK_TRUNCATED, called_from(MAIN, fake_main_offset));
	ADD_SAMPLE(2, CPROF_STACK_BROKEN, called_from(MAIN, fake_main_offset));
	ADD_SAMPLE(4, CPROF_STACK_TRUNCATED | CPROF_STACK_BROKEN, called_from(MAIN, fake_main_offset));
	fake_profile_add(8, 0, 0, (uint64_t[]){0});
	fake_profile_add(16, CPROF_STACK_BROKEN, 0, (uint64_t[]){0});
	ADD_SAMPLE(32, 0, called_from(MAIN, fake_main_offset));
	fake_profile_encode("cpu");
	cr_assert_eq(decoded->n_sample, 4);
	cr_expect_str_eq(decoded_stack(0), "main;[truncated]");
	cr_expect_eq(decoded->sample[0]->value[0], 5);
	cr_expect_str_eq(decoded_stack(1), "main;[unwind stopped]");
	cr_expect_str_eq(decoded_stack(2), "[no stack]");
	cr_expect_eq(decoded->sample[2]->value[0], 24);
	cr_expect_str_eq(decoded_stack(3), "main");
	const char *top = fixture_pprof("-top cpu");
	expect_contains(top, " [no stack]");
	expect_contains(top, " [truncated]");
	expect_contains(top, " [unwind stopped]");
}

Test(pprof, stops_at_the_largest_number)
{
	uint64_t frames[] = {called_from(MAIN, fake_main_offset)};
	for (int i = 0; i < 3; i++)
		fake_samples[i] =
			(struct profile_sample){.frames = frames, .frame_count = 1, .values = {1, INT64_MAX}};
	fake_profile.sample_count = 3;
	fake_profile_encode("cpu");
	cr_expect_eq(decoded->sample[0]->value[0], 3);
	cr_expect_eq(decoded->sample[0]->value[1], INT64_MAX);
}

Test(pprof, gives_equal_bytes_for_equal_profiles_and_shows_that_it_works)
{
	for (int i = 0; i < 20; i++)
		ADD_SAMPLE(i + 1, 0, interrupted_at(MAIN, fake_inner_offset + (uint64_t)i),
			   called_from(MAIN, fake_main_offset));
	fake_profile_encode("first");
	fake_profile_encode("second");
	fixture_run("cmp first second");
}

static void count_tick(void *count)
{
	++*(unsigned *)count;
}

Test(pprof, calls_back_while_it_works)
{
	for (int i = 0; i < 40; i++)
		ADD_SAMPLE(i + 1, 0, interrupted_at(MAIN, fake_inner_offset + (uint64_t)i),
			   called_from(MAIN, fake_main_offset));
	unsigned char *bytes;
	size_t size;
	unsigned count = 0;
	cr_assert_eq(pprof_encode(&fake_profile, count_tick, &count, &bytes, &size), 0);
	free(bytes);
	cr_expect_geq(count, 2);
}

/* ---- labels -------------------------------------------------------------------------------------- */

static void add_labelled(int64_t count, const struct profile_label *labels, uint32_t label_count)
{
	ADD_SAMPLE(count, 0, called_from(MAIN, fake_main_offset));
	fake_samples[fake_profile.sample_count - 1].labels = labels;
	fake_samples[fake_profile.sample_count - 1].label_count = label_count;
}

Test(pprof, tells_samples_apart_by_their_labels)
{
	static const struct profile_label reader[] = {{.key = "thread", .text = "reader"}},
					  writer[] = {{.key = "thread", .text = "writer"}},
					  writing[] = {{.key = "thread", .text = "writer"},
						       {.key = "waited", .number = 7, .unit = "seconds"}};
	char copy[] = "writer";
	const struct profile_label twin[] = {{.key = "thread", .text = copy}};
	add_labelled(1, reader, 1);
	add_labelled(2, writer, 1);
	add_labelled(4, writing, 2);
	add_labelled(8, twin, 1);
	add_labelled(16, NULL, 0);
	fake_profile_encode("cpu");
	cr_assert_eq(decoded->n_sample, 4);
	cr_expect_eq(decoded->sample[0]->value[0], 1);
	cr_expect_eq(decoded->sample[1]->value[0], 10);
	cr_expect_eq(decoded->sample[2]->value[0], 4);
	cr_expect_eq(decoded->sample[3]->value[0], 16);
	cr_assert_eq(decoded->sample[2]->n_label, 2);
	const label_t *thread = decoded->sample[2]->label[0], *waited = decoded->sample[2]->label[1];
	cr_expect_str_eq(decoded_string(thread->key), "thread");
	cr_expect_str_eq(decoded_string(thread->str), "writer");
	cr_expect_eq(thread->num, 0);
	cr_expect_str_eq(decoded_string(waited->key), "waited");
	cr_expect_eq(waited->str, 0);
	cr_expect_eq(waited->num, 7);
	cr_expect_str_eq(decoded_string(waited->num_unit), "seconds");
	const char *tags = fixture_pprof("-tags cpu");
	expect_contains(tags, "writer");
	expect_contains(tags, "reader");
	expect_contains(fixture_pprof("-top -tagfocus=thread=reader cpu"), "nodes accounting for 10ms");
}

Test(pprof, keeps_a_number_that_is_zero)
{
	static const struct profile_label none[] = {{.key = "minutes", .number = 0, .unit = "minutes"}};
	add_labelled(1, none, 1);
	fake_profile_encode("cpu");
	expect_contains(fixture_pprof("-raw cpu"), "minutes:[0 minutes]");
}

Test(pprof, writes_no_more_labels_than_it_has_room_for)
{
	struct profile_label many[PROFILE_LABELS_MAX + 3];
	for (size_t i = 0; i < ARRAY_LENGTH(many); i++)
		many[i] = (struct profile_label){.key = "key", .text = "text"};
	add_labelled(1, many, ARRAY_LENGTH(many));
	fake_profile.kind = PROFILE_HEAP; /* which has one of its own */
	fake_profile_encode("heap");
	cr_assert_eq(decoded->sample[0]->n_label, PROFILE_LABELS_MAX + 1);
	cr_expect_str_eq(decoded_string(decoded->sample[0]->label[PROFILE_LABELS_MAX]->key), "bytes");
}
