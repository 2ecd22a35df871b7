/* SPDX-License-Identifier: MIT */
/*
 * Symbols and mappings as the encoder writes them: what pprof is to believe, and what
 * it is to look up by itself.
 *
 * Context: tests.
 */
#include <string.h>

#include "fake_profile.h"
#include "fixture.h"
#include "image.h"
#include "perf_map.h"

TestSuite(pprof_mappings, .init = fake_profile_begin, .fini = fake_profile_end);

Test(pprof_mappings, shows_inlined_functions_files_and_lines)
{
	uint64_t size, outer = fixture_symbol("app", "outer", &size), offset = 0;
	struct image_line lines[IMAGE_LINES_MAX];
	for (uint64_t i = 0; i < size && !offset; i++)
		if (image_symbolise(fake_modules[1].image, outer + i, lines, IMAGE_LINES_MAX) == 2)
			offset = outer + i;
	ADD_SAMPLE(3, 0, interrupted_at(MAIN, offset), called_from(MAIN, fake_main_offset));
	fake_profile_encode("cpu");
	cr_expect_str_eq(decoded_stack(0), "inner;outer;main");
	expect_contains(fixture_pprof("-top cpu"), "inner (inline)");
	const char *traces = fixture_pprof("-traces cpu");
	expect_contains(traces, "30ms   inner (inline)\n             outer\n             main\n");
	const char *list = fixture_pprof("-list '^outer$' cpu");
	expect_contains(list, "ROUTINE ======================== outer in ");
	expect_contains(list, "30ms      9:\treturn inner(x) + 1;");
	const function_t *f = decoded->function[decoded->location[0]->line[1]->function_id - 1];
	cr_expect_str_eq(decoded_string(f->filename), fixture_path("main.c"));
	cr_expect_eq(f->start_line, 7);
	cr_expect_eq(decoded->location[0]->line[1]->line, 9);
	cr_expect_gt(decoded->location[0]->line[1]->column, 0);
	cr_expect_eq(f->name, f->system_name);
}

Test(pprof_mappings, puts_the_program_first_and_mappings_as_in_maps)
{
	ADD_SAMPLE(1, 0, called_from(LIBRARY_ROW, fake_exported_offset), called_from(MAIN, fake_main_offset));
	fake_profile_encode("cpu");
	cr_assert_eq(decoded->n_mapping, 3);
	const mapping_t *m = decoded->mapping[0];
	cr_expect_str_eq(decoded_string(m->filename), fixture_path("app"));
	cr_expect_eq(m->memory_start, fake_modules[1].text_start);
	cr_expect_eq(m->memory_limit, fake_modules[1].text_end);
	cr_expect_eq(m->file_offset, fake_modules[1].text_offset);
	cr_expect(m->has_functions && m->has_filenames && m->has_line_numbers && m->has_inline_frames);
	char *id = fixture_run("readelf -n app | sed -n 's/.*Build ID: //p'");
	id[strcspn(id, "\n")] = '\0';
	cr_expect_str_eq(decoded_string(m->build_id), id);
	m = decoded->mapping[1];
	cr_expect_str_eq(decoded_string(m->filename), fixture_path("library.so"));
	cr_expect(m->has_functions && !m->has_filenames && !m->has_line_numbers && !m->has_inline_frames);
	/* A module without samples, and without a file. */
	m = decoded->mapping[2];
	cr_expect_str_eq(decoded_string(m->filename), "/gone/lib.so");
	cr_expect_not(m->has_functions);
	expect_contains(fixture_pprof("-top cpu"), "File: app\n");
}

Test(pprof_mappings, writes_a_partly_symbolised_mapping_twice)
{
	ADD_SAMPLE(1, 0, interrupted_at(LIBRARY_ROW, fake_hidden_offset),
		   called_from(LIBRARY_ROW, fake_exported_offset + 4));
	ADD_SAMPLE(2, 0, interrupted_at(LIBRARY_ROW, fake_exported_offset));
	fake_profile_encode("cpu");
	cr_assert_eq(decoded->n_mapping, 4);
	const mapping_t *named = decoded->mapping[1], *unnamed = decoded->mapping[2];
	cr_expect(named->has_functions);
	cr_expect(!unnamed->has_functions && !unnamed->has_filenames && !unnamed->has_line_numbers);
	cr_expect_eq(named->memory_start, unnamed->memory_start);
	cr_expect_eq(named->file_offset, unnamed->file_offset);
	cr_expect_eq(named->build_id, unnamed->build_id);
	for (size_t i = 0; i < decoded->n_location; i++) {
		const location_t *l = decoded->location[i];
		cr_expect_eq(l->mapping_id, l->n_line ? named->id : unnamed->id);
	}
	const char *top = fixture_pprof("-top cpu");
	expect_contains(top, "[library.so]");
	expect_contains(top, " exported\n");
	/* Merging must not make one of the two again, or pprof would symbolise all of it anew. */
	fixture_pprof("-proto -output=merged cpu cpu");
	const char *raw = fixture_pprof("-raw merged");
	const char *mappings = strstr(raw, "Mappings");
	cr_assert_not_null(mappings);
	const char *first = strstr(mappings, "library.so");
	cr_assert_not_null(first);
	cr_expect_not_null(strstr(first + 1, "library.so"));
	expect_contains(mappings, "[FN]");
	top = fixture_pprof("-top merged");
	expect_contains(top, "[library.so]");
	expect_contains(top, " exported\n");
}

Test(pprof_mappings, leaves_what_it_cannot_name_to_pprof)
{
	ADD_SAMPLE(1, 0, interrupted_at(LOST, 0x1234));
	ADD_SAMPLE(2, 0, interrupted_at(1234, 0x77));
	fake_profile_encode("cpu");
	cr_expect_str_eq(decoded_stack(0), "?");
	cr_expect_eq(decoded->location[0]->address, 0x11234);
	cr_expect_eq(decoded->location[1]->mapping_id, 0);
	const char *top = fixture_pprof("-top cpu");
	expect_contains(top, "[lib.so]");
	expect_contains(top, "<unknown>");
}

Test(pprof_mappings, names_code_made_at_run_time)
{
	static const char text[] = "7f0000001000 100 Interpreter:loop\n7f0000002000 100 bad\xff\xc3(name\n";
	struct perf_map *map = perf_map_parse(text, sizeof(text) - 1);
	fake_profile.jit = map;
	ADD_SAMPLE(1, 0, interrupted_at(CPROF_MODULE_NONE, 0x7f0000001010));
	ADD_SAMPLE(2, 0, interrupted_at(CPROF_MODULE_NONE, 0x7f0000002010));
	ADD_SAMPLE(4, 0, interrupted_at(CPROF_MODULE_NONE, 0x7f0000003010));
	ADD_SAMPLE(8, 0, interrupted_at(CPROF_MODULE_NONE, 0x7f0000004010),
		   called_from(CPROF_MODULE_NONE, 0x7f0000001100));
	fake_profile_encode("cpu");
	perf_map_free(map);
	cr_expect_str_eq(decoded_stack(0), "Interpreter:loop");
	cr_expect_str_eq(decoded_stack(1), "bad\xef\xbf\xbd\xef\xbf\xbd(name");
	cr_expect_str_eq(decoded_stack(2), "[anon]");
	cr_expect_str_eq(decoded_stack(3), "[anon];Interpreter:loop");
	const char *top = fixture_pprof("-top cpu");
	expect_contains(top, "Interpreter:loop");
	expect_contains(top, "120ms 80.00%");
	expect_contains(top, " [anon]\n");
	expect_lacks(top, "ymbolization");
	/* Nor does it look for a file when told to forget what the profile says of itself. */
	expect_lacks(fixture_pprof("-symbolize=force -top cpu"), "anon:");
}

Test(pprof_mappings, matches_runs_at_different_addresses)
{
	ADD_SAMPLE(5, 0, interrupted_at(MAIN, fake_inner_offset), called_from(MAIN, fake_main_offset));
	ADD_SAMPLE(3, 0, interrupted_at(LIBRARY_ROW, fake_hidden_offset),
		   called_from(MAIN, fake_main_offset));
	ADD_SAMPLE(2, 0, interrupted_at(LIBRARY_ROW, fake_exported_offset),
		   called_from(MAIN, fake_main_offset));
	fake_profile_encode("one");
	for (size_t i = 0; i < 2; i++) {
		uint64_t shift = 0x123000 * (i + 1);
		fake_modules[i].bias += shift;
		fake_modules[i].text_start += shift;
		fake_modules[i].text_end += shift;
	}
	fake_samples[0].values[0] += 1;
	fake_samples[0].values[1] += 10000000;
	fake_profile_encode("two");
	const char *diff = fixture_pprof("-top -diff_base=one two");
	expect_contains(diff, "10ms");
	expect_lacks(diff, "[library.so]");
	fixture_pprof("-proto -output=merged one two");
	const char *raw = fixture_pprof("-raw merged");
	expect_contains(raw, "         11  110000000:");
	expect_contains(raw, "          6   60000000:");
	expect_contains(raw, "          4   40000000:");
	cr_expect_null(strstr(strstr(raw, "Locations"), "\n     6: "), "%s", raw);
}
