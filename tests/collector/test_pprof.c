/* SPDX-License-Identifier: MIT */
/*
 * Profiles as the encoder writes them, read with the generated decoder and with
 * `go tool pprof`.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "cprof_compiler.h"
#include "fixture.h"
#include "image.h"
#include "perf_map.h"
#include "pprof.h"
#include "profile.pb-c.h"

typedef Perftools__Profiles__Function function_t;
typedef Perftools__Profiles__Location location_t;
typedef Perftools__Profiles__Mapping mapping_t;
typedef Perftools__Profiles__Profile message_t;
typedef Perftools__Profiles__Sample sample_t;

/* ---- a process that never ran -------------------------------------------------------------------- */

enum { MAIN = 3, LIBRARY = 5, CPROF = 7, LOST = 9 };
#define MAIN_BIAS UINT64_C(0x555555554000)
#define LIBRARY_BIAS UINT64_C(0x7ffff7a00000)

static const char main_c[] = "static inline __attribute__((always_inline)) int inner(int x)\n"
			     "{\n"
			     "	for (volatile int i = 0; i < x; i = i + 1)\n"
			     "		__asm__ volatile(\"nop\");\n"
			     "	return x * 3;\n"
			     "}\n"
			     "__attribute__((noinline)) int outer(int x)\n"
			     "{\n"
			     "	return inner(x) + 1;\n"
			     "}\n"
			     "int main(int argc, char **argv) { (void)argv; return outer(argc); }\n";
static const char library_c[] =
	"int keep;\n"
	"static __attribute__((noinline)) int hidden(int x) { keep = x; return x + keep; }\n"
	"__attribute__((noinline)) int exported(int x) { return hidden(x) * 2; }\n";

static struct profile_module modules[4];
static uint64_t inner_offset, main_offset, exported_offset, hidden_offset;
static struct profile_sample samples[64];
static struct profile profile;
static message_t *message;

static void set_module(struct profile_module *module, uint32_t id, uint64_t bias, const char *file)
{
	struct stat st;
	unsigned long file_offset, address, size;
	char *segment = fixture_run("readelf -lW %s | awk '/LOAD.*R E/ {print $2, $3, $6; exit}'", file);
	cr_assert_eq(sscanf(segment, "%lx %lx %lx", &file_offset, &address, &size), 3);
	cr_assert_eq(stat(fixture_path(file), &st), 0);
	*module = (struct profile_module){.id = id, .bias = bias, .path = fixture_path(file)};
	module->text_start = bias + (address & ~UINT64_C(4095));
	module->text_end = bias + ((address + size + 4095) & ~UINT64_C(4095));
	module->text_offset = file_offset & ~UINT64_C(4095);
	module->build_id_bytes = fixture_build_id(file, module->build_id);
	struct image_source source = {.path = module->path,
				      .root_fd = -1,
				      .device = st.st_dev,
				      .inode = st.st_ino,
				      .build_id = module->build_id,
				      .build_id_bytes = module->build_id_bytes};
	module->image = image_open(&source);
	cr_assert_not_null(module->image);
}

static void begin(void)
{
	fixture_begin();
	fixture_write("main.c", main_c);
	fixture_write("library.c", library_c);
	fixture_run(
		"gcc -O2 -g main.c -o app -pie -Wl,--build-id && "
		"gcc -O2 -shared -fPIC library.c -o full.so -Wl,--build-id && strip full.so -o library.so");
	set_module(&modules[0], MAIN, MAIN_BIAS, "app");
	set_module(&modules[1], LIBRARY, LIBRARY_BIAS, "library.so");
	modules[2] = (struct profile_module){
		.id = CPROF, .flags = CPROF_MODULE_IS_CPROF, .path = "/lib/libcprof.so"};
	modules[3] = (struct profile_module){.id = LOST,
					     .bias = 0x10000,
					     .text_start = 0x11000,
					     .text_end = 0x12000,
					     .path = "/gone/lib.so (deleted)"};
	/* The order of rows is that of first use. */
	modules[0].flags = 0;
	struct profile_module first = modules[0];
	modules[0] = modules[1];
	modules[1] = first;
	modules[0].id = MAIN - 1;
	modules[1].flags = CPROF_MODULE_IS_MAIN;
	inner_offset = fixture_symbol("app", "outer", NULL) + 1;
	main_offset = fixture_symbol("app", "main", NULL) + 1;
	exported_offset = fixture_symbol("full.so", "exported", NULL) + 1;
	hidden_offset = fixture_symbol("full.so", "hidden", NULL) + 1;
	static const char *const comments[] = {"# quiet", "loud"};
	profile = (struct profile){.kind = PROFILE_CPU,
				   .modules = modules,
				   .module_count = 4,
				   .samples = samples,
				   .time_ns = 1700000000000000000,
				   .duration_ns = 5000000000,
				   .period = 10000000,
				   .comments = comments,
				   .comment_count = 2};
	message = NULL;
}

static void end(void)
{
	if (message)
		perftools__profiles__profile__free_unpacked(message, NULL);
	image_close_all();
	fixture_end();
}

TestSuite(pprof, .init = begin, .fini = end);

/* The library's row has a lower id than the program's. */
#define LIBRARY_ROW (MAIN - 1)

static uint64_t called_from(uint32_t module, uint64_t offset)
{
	return cprof_frame(module, offset);
}

static uint64_t interrupted_at(uint32_t module, uint64_t offset)
{
	return cprof_frame(module, offset) | CPROF_FRAME_EXACT;
}

#define ADD_CPU(count, flags, ...)                                                                         \
	do {                                                                                               \
		static const size_t frame_count = sizeof((uint64_t[]){0, __VA_ARGS__}) / sizeof(uint64_t); \
		add_cpu(count, flags, frame_count - 1, (uint64_t[]){0, __VA_ARGS__});                      \
	} while (0)

static uint64_t frame_store[64][CPROF_STACK_FRAMES_MAX];

static void add_cpu(int64_t count, uint32_t flags, size_t frame_count, const uint64_t *frames)
{
	size_t i = profile.sample_count++;
	memcpy(frame_store[i], frames + 1, frame_count * sizeof(*frames));
	samples[i] = (struct profile_sample){.frames = frame_store[i],
					     .frame_count = (uint32_t)frame_count,
					     .stack_flags = flags,
					     .values = {count, count * 10000000}};
}

/* Encodes into DIR/name, and decodes what was written. */
static void encode(const char *name)
{
	unsigned char *bytes;
	size_t size;
	cr_assert_eq(pprof_encode(&profile, NULL, NULL, &bytes, &size), 0);
	FILE *file = fopen(fixture_path(name), "w");
	cr_assert_eq(fwrite(bytes, 1, size, file), size);
	fclose(file);
	static unsigned char plain[1 << 20];
	z_stream z = {
		.next_in = bytes, .avail_in = (uInt)size, .next_out = plain, .avail_out = sizeof(plain)};
	cr_assert_eq(inflateInit2(&z, 15 + 16), Z_OK);
	cr_assert_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	if (message)
		perftools__profiles__profile__free_unpacked(message, NULL);
	message = perftools__profiles__profile__unpack(NULL, z.total_out, plain);
	cr_assert_not_null(message);
	inflateEnd(&z);
	free(bytes);
}

static const char *string_at(int64_t index)
{
	cr_assert(index >= 0 && (size_t)index < message->n_string_table);
	return message->string_table[index];
}

/* The functions of a sample, leaf first, "a;b;c"; "?" for a location without one. */
static const char *stack_of(size_t sample)
{
	static char text[4096];
	size_t used = 0;
	const sample_t *s = message->sample[sample];
	text[0] = '\0';
	for (size_t i = 0; i < s->n_location_id; i++) {
		const location_t *l = message->location[s->location_id[i] - 1];
		for (size_t j = 0; j < (l->n_line ? l->n_line : 1); j++) {
			const char *name = "?";
			if (l->n_line)
				name = string_at(message->function[l->line[j]->function_id - 1]->name);
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", used ? ";" : "",
						 name);
		}
	}
	return text;
}

static char *go_pprof(const char *arguments)
{
	if (!fixture_has("go"))
		cr_skip_test("no go");
	return fixture_run("PPROF_TMPDIR=. PPROF_BINARY_PATH=/nonexistent go tool pprof %s 2>&1", arguments);
}

#define expect_contains(text, part) cr_expect(strstr((text), (part)), "no \"%s\" in:\n%s", (part), (text))
#define expect_lacks(text, part) cr_expect(!strstr((text), (part)), "\"%s\" in:\n%s", (part), (text))

/* ---- headers ------------------------------------------------------------------------------------- */

Test(pprof, writes_the_types_of_a_cpu_profile_as_go_does)
{
	ADD_CPU(3, 0, interrupted_at(MAIN, inner_offset), called_from(MAIN, main_offset));
	encode("cpu");
	const char *raw = go_pprof("-raw cpu");
	expect_contains(raw, "PeriodType: cpu nanoseconds\nPeriod: 10000000\n");
	expect_contains(raw, "Duration: 5s\n");
	expect_contains(raw, "Samples:\nsamples/count cpu/nanoseconds\n");
	expect_contains(raw, "          3   30000000:");
	cr_expect_eq(message->default_sample_type, 0);
	cr_expect_eq(message->drop_frames, 0);
	cr_expect_eq(message->time_nanos, 1700000000000000000);
	cr_expect_str_eq(string_at(0), "");
	/* The last type is the one that is shown. */
	expect_contains(go_pprof("-top cpu"), "Total samples = 30ms");
}

Test(pprof, writes_the_types_of_a_heap_profile_as_go_does)
{
	uint64_t frames[] = {called_from(MAIN, main_offset)};
	samples[0] = (struct profile_sample){.frames = frames, .frame_count = 1, .values = {4, 1000, 1, 250}};
	profile.kind = PROFILE_HEAP;
	profile.sample_count = 1;
	profile.duration_ns = 0;
	profile.period = 524288;
	encode("heap");
	const char *raw = go_pprof("-raw heap");
	expect_contains(raw, "PeriodType: space bytes\nPeriod: 524288\n");
	expect_contains(
		raw, "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes[dflt]\n");
	expect_contains(raw, "          4       1000          1        250:");
	expect_contains(raw, "bytes:[250 bytes]");
	cr_expect_str_eq(string_at(message->default_sample_type), "inuse_space");
	expect_contains(go_pprof("-top heap"), "Type: inuse_space");
	expect_contains(go_pprof("-sample_index=alloc_space -top heap"), "1000B");
	expect_contains(go_pprof("-tags heap"), "250B");
	cr_expect_eq(message->n_sample, 1);
	const Perftools__Profiles__Label *label = message->sample[0]->label[0];
	cr_expect_str_eq(string_at(label->key), "bytes");
	cr_expect_str_eq(string_at(label->num_unit), "bytes");
	cr_expect_eq(label->num, 250);
}

Test(pprof, has_no_average_size_of_nothing)
{
	uint64_t frames[] = {called_from(MAIN, main_offset)};
	samples[0] = (struct profile_sample){.frames = frames, .frame_count = 1, .values = {0, 0, 1, 250}};
	profile.kind = PROFILE_HEAP;
	profile.sample_count = 1;
	encode("heap");
	cr_expect_eq(message->sample[0]->n_label, 0);
}

Test(pprof, is_valid_without_samples)
{
	encode("cpu");
	cr_expect_eq(message->n_sample, 0);
	cr_expect_eq(message->n_sample_type, 2);
	expect_contains(go_pprof("-raw cpu"), "cpu/nanoseconds");
	profile.module_count = 0;
	profile.comment_count = 0;
	encode("cpu");
	cr_expect_eq(message->n_mapping, 0);
	go_pprof("-raw cpu");
}

Test(pprof, carries_comments)
{
	encode("cpu");
	cr_assert_eq(message->n_comment, 2);
	cr_expect_str_eq(string_at(message->comment[0]), "# quiet");
	ADD_CPU(1, 0, called_from(MAIN, main_offset));
	encode("cpu");
	const char *top = go_pprof("-top cpu");
	expect_contains(top, "loud");
	expect_lacks(top, "quiet");
	expect_contains(go_pprof("-comments cpu"), "# quiet");
}

/* ---- samples ------------------------------------------------------------------------------------- */

Test(pprof, adds_up_equal_stacks_and_drops_zeros)
{
	ADD_CPU(1, 0, interrupted_at(MAIN, inner_offset), called_from(MAIN, main_offset));
	ADD_CPU(2, 0, interrupted_at(MAIN, inner_offset), called_from(MAIN, main_offset));
	/* The same address, reached as a return address. */
	ADD_CPU(4, 0, called_from(MAIN, inner_offset + 1), called_from(MAIN, main_offset));
	ADD_CPU(0, 0, called_from(MAIN, main_offset));
	ADD_CPU(8, 0, called_from(MAIN, main_offset), called_from(MAIN, main_offset));
	encode("cpu");
	cr_assert_eq(message->n_sample, 2);
	cr_expect_eq(message->sample[0]->value[0], 7);
	cr_expect_eq(message->sample[0]->value[1], 70000000);
	cr_expect_eq(message->sample[1]->value[0], 8);
	cr_expect_eq(message->n_location, 2);
	cr_expect_eq(message->location[0]->address, MAIN_BIAS + inner_offset);
	cr_expect_eq(message->location[1]->address, MAIN_BIAS + main_offset - 1);
}

Test(pprof, hides_frames_of_cprof)
{
	ADD_CPU(1, 0, interrupted_at(CPROF, 0x1000), called_from(MAIN, main_offset));
	ADD_CPU(2, 0, called_from(MAIN, main_offset));
	ADD_CPU(4, 0, called_from(CPROF, 0x2000), called_from(MAIN, main_offset), called_from(CPROF, 0x3000));
	ADD_CPU(8, 0, called_from(CPROF, 0x2000));
	encode("cpu");
	cr_assert_eq(message->n_sample, 2);
	cr_expect_eq(message->sample[0]->value[0], 7);
	cr_expect_str_eq(stack_of(0), "main");
	cr_expect_eq(message->sample[1]->value[0], 8);
	cr_expect_str_eq(stack_of(1), PPROF_NO_STACK);
	for (size_t i = 0; i < message->n_mapping; i++)
		expect_lacks(string_at(message->mapping[i]->filename), "libcprof");
}

Test(pprof, says_where_a_stack_is_not_whole)
{
	ADD_CPU(1, CPROF_STACK_TRUNCATED, called_from(MAIN, main_offset));
	ADD_CPU(2, CPROF_STACK_BROKEN, called_from(MAIN, main_offset));
	ADD_CPU(4, CPROF_STACK_TRUNCATED | CPROF_STACK_BROKEN, called_from(MAIN, main_offset));
	add_cpu(8, 0, 0, (uint64_t[]){0});
	add_cpu(16, CPROF_STACK_BROKEN, 0, (uint64_t[]){0});
	ADD_CPU(32, 0, called_from(MAIN, main_offset));
	encode("cpu");
	cr_assert_eq(message->n_sample, 4);
	cr_expect_str_eq(stack_of(0), "main;[truncated]");
	cr_expect_eq(message->sample[0]->value[0], 5);
	cr_expect_str_eq(stack_of(1), "main;[unwind stopped]");
	cr_expect_str_eq(stack_of(2), "[no stack]");
	cr_expect_eq(message->sample[2]->value[0], 24);
	cr_expect_str_eq(stack_of(3), "main");
	const char *top = go_pprof("-top cpu");
	expect_contains(top, " [no stack]");
	expect_contains(top, " [truncated]");
	expect_contains(top, " [unwind stopped]");
}

Test(pprof, stops_at_the_largest_number)
{
	uint64_t frames[] = {called_from(MAIN, main_offset)};
	for (int i = 0; i < 3; i++)
		samples[i] =
			(struct profile_sample){.frames = frames, .frame_count = 1, .values = {1, INT64_MAX}};
	profile.sample_count = 3;
	encode("cpu");
	cr_expect_eq(message->sample[0]->value[0], 3);
	cr_expect_eq(message->sample[0]->value[1], INT64_MAX);
}

Test(pprof, gives_equal_bytes_for_equal_profiles_and_shows_that_it_works)
{
	for (int i = 0; i < 20; i++)
		ADD_CPU(i + 1, 0, interrupted_at(MAIN, inner_offset + (uint64_t)i),
			called_from(MAIN, main_offset));
	encode("first");
	encode("second");
	fixture_run("cmp first second");
}

static void count_tick(void *count)
{
	++*(unsigned *)count;
}

Test(pprof, calls_back_while_it_works)
{
	for (int i = 0; i < 40; i++)
		ADD_CPU(i + 1, 0, interrupted_at(MAIN, inner_offset + (uint64_t)i),
			called_from(MAIN, main_offset));
	unsigned char *bytes;
	size_t size;
	unsigned count = 0;
	cr_assert_eq(pprof_encode(&profile, count_tick, &count, &bytes, &size), 0);
	free(bytes);
	cr_expect_geq(count, 2);
}

/* ---- symbols and mappings -------------------------------------------------------------------------- */

Test(pprof, shows_inlined_functions_files_and_lines)
{
	uint64_t size, outer = fixture_symbol("app", "outer", &size), offset = 0;
	struct image_line lines[IMAGE_LINES_MAX];
	for (uint64_t i = 0; i < size && !offset; i++)
		if (image_symbolise(modules[1].image, outer + i, lines, IMAGE_LINES_MAX) == 2)
			offset = outer + i;
	ADD_CPU(3, 0, interrupted_at(MAIN, offset), called_from(MAIN, main_offset));
	encode("cpu");
	cr_expect_str_eq(stack_of(0), "inner;outer;main");
	expect_contains(go_pprof("-top cpu"), "inner (inline)");
	const char *traces = go_pprof("-traces cpu");
	expect_contains(traces, "30ms   inner (inline)\n             outer\n             main\n");
	const char *list = go_pprof("-list '^outer$' cpu");
	expect_contains(list, "ROUTINE ======================== outer in ");
	expect_contains(list, "30ms      9:\treturn inner(x) + 1;");
	const function_t *f = message->function[message->location[0]->line[1]->function_id - 1];
	cr_expect_str_eq(string_at(f->filename), fixture_path("main.c"));
	cr_expect_eq(f->start_line, 7);
	cr_expect_eq(message->location[0]->line[1]->line, 9);
	cr_expect_gt(message->location[0]->line[1]->column, 0);
	cr_expect_eq(f->name, f->system_name);
}

Test(pprof, puts_the_program_first_and_mappings_as_in_maps)
{
	ADD_CPU(1, 0, called_from(LIBRARY_ROW, exported_offset), called_from(MAIN, main_offset));
	encode("cpu");
	cr_assert_eq(message->n_mapping, 3);
	const mapping_t *m = message->mapping[0];
	cr_expect_str_eq(string_at(m->filename), fixture_path("app"));
	cr_expect_eq(m->memory_start, modules[1].text_start);
	cr_expect_eq(m->memory_limit, modules[1].text_end);
	cr_expect_eq(m->file_offset, modules[1].text_offset);
	cr_expect(m->has_functions && m->has_filenames && m->has_line_numbers && m->has_inline_frames);
	char *id = fixture_run("readelf -n app | sed -n 's/.*Build ID: //p'");
	id[strcspn(id, "\n")] = '\0';
	cr_expect_str_eq(string_at(m->build_id), id);
	m = message->mapping[1];
	cr_expect_str_eq(string_at(m->filename), fixture_path("library.so"));
	cr_expect(m->has_functions && !m->has_filenames && !m->has_line_numbers && !m->has_inline_frames);
	/* A module without samples, and without a file. */
	m = message->mapping[2];
	cr_expect_str_eq(string_at(m->filename), "/gone/lib.so");
	cr_expect_not(m->has_functions);
	expect_contains(go_pprof("-top cpu"), "File: app\n");
}

Test(pprof, writes_a_partly_symbolised_mapping_twice)
{
	ADD_CPU(1, 0, interrupted_at(LIBRARY_ROW, hidden_offset),
		called_from(LIBRARY_ROW, exported_offset + 4));
	ADD_CPU(2, 0, interrupted_at(LIBRARY_ROW, exported_offset));
	encode("cpu");
	cr_assert_eq(message->n_mapping, 4);
	const mapping_t *named = message->mapping[1], *unnamed = message->mapping[2];
	cr_expect(named->has_functions);
	cr_expect(!unnamed->has_functions && !unnamed->has_filenames && !unnamed->has_line_numbers);
	cr_expect_eq(named->memory_start, unnamed->memory_start);
	cr_expect_eq(named->file_offset, unnamed->file_offset);
	cr_expect_eq(named->build_id, unnamed->build_id);
	for (size_t i = 0; i < message->n_location; i++) {
		const location_t *l = message->location[i];
		cr_expect_eq(l->mapping_id, l->n_line ? named->id : unnamed->id);
	}
	const char *top = go_pprof("-top cpu");
	expect_contains(top, "[library.so]");
	expect_contains(top, " exported\n");
	/* Merging must not make one of the two again, or pprof would symbolise all of it anew. */
	go_pprof("-proto -output=merged cpu cpu");
	const char *raw = go_pprof("-raw merged");
	const char *mappings = strstr(raw, "Mappings");
	cr_assert_not_null(mappings);
	const char *first = strstr(mappings, "library.so");
	cr_assert_not_null(first);
	cr_expect_not_null(strstr(first + 1, "library.so"));
	expect_contains(mappings, "[FN]");
	top = go_pprof("-top merged");
	expect_contains(top, "[library.so]");
	expect_contains(top, " exported\n");
}

Test(pprof, leaves_what_it_cannot_name_to_pprof)
{
	ADD_CPU(1, 0, interrupted_at(LOST, 0x1234));
	ADD_CPU(2, 0, interrupted_at(1234, 0x77));
	encode("cpu");
	cr_expect_str_eq(stack_of(0), "?");
	cr_expect_eq(message->location[0]->address, 0x11234);
	cr_expect_eq(message->location[1]->mapping_id, 0);
	const char *top = go_pprof("-top cpu");
	expect_contains(top, "[lib.so]");
	expect_contains(top, "<unknown>");
}

Test(pprof, names_code_made_at_run_time)
{
	static const char text[] = "7f0000001000 100 Interpreter:loop\n7f0000002000 100 bad\xff\xc3(name\n";
	struct perf_map *map = perf_map_parse(text, sizeof(text) - 1);
	profile.jit = map;
	ADD_CPU(1, 0, interrupted_at(CPROF_MODULE_NONE, 0x7f0000001010));
	ADD_CPU(2, 0, interrupted_at(CPROF_MODULE_NONE, 0x7f0000002010));
	ADD_CPU(4, 0, interrupted_at(CPROF_MODULE_NONE, 0x7f0000003010));
	ADD_CPU(8, 0, interrupted_at(CPROF_MODULE_NONE, 0x7f0000004010),
		called_from(CPROF_MODULE_NONE, 0x7f0000001100));
	encode("cpu");
	perf_map_free(map);
	cr_expect_str_eq(stack_of(0), "Interpreter:loop");
	cr_expect_str_eq(stack_of(1), "bad\xef\xbf\xbd\xef\xbf\xbd(name");
	cr_expect_str_eq(stack_of(2), "[anon]");
	cr_expect_str_eq(stack_of(3), "[anon];Interpreter:loop");
	const char *top = go_pprof("-top cpu");
	expect_contains(top, "Interpreter:loop");
	expect_contains(top, "120ms 80.00%");
	expect_contains(top, " [anon]\n");
	expect_lacks(top, "ymbolization");
	/* Nor does it look for a file when told to forget what the profile says of itself. */
	expect_lacks(go_pprof("-symbolize=force -top cpu"), "anon:");
}

Test(pprof, matches_runs_at_different_addresses)
{
	ADD_CPU(5, 0, interrupted_at(MAIN, inner_offset), called_from(MAIN, main_offset));
	ADD_CPU(3, 0, interrupted_at(LIBRARY_ROW, hidden_offset), called_from(MAIN, main_offset));
	ADD_CPU(2, 0, interrupted_at(LIBRARY_ROW, exported_offset), called_from(MAIN, main_offset));
	encode("one");
	for (size_t i = 0; i < 2; i++) {
		uint64_t shift = 0x123000 * (i + 1);
		modules[i].bias += shift;
		modules[i].text_start += shift;
		modules[i].text_end += shift;
	}
	samples[0].values[0] += 1;
	samples[0].values[1] += 10000000;
	encode("two");
	const char *diff = go_pprof("-top -diff_base=one two");
	expect_contains(diff, "10ms");
	expect_lacks(diff, "[library.so]");
	go_pprof("-proto -output=merged one two");
	const char *raw = go_pprof("-raw merged");
	expect_contains(raw, "         11  110000000:");
	expect_contains(raw, "          6   60000000:");
	expect_contains(raw, "          4   40000000:");
	cr_expect_null(strstr(strstr(raw, "Locations"), "\n     6: "), "%s", raw);
}

/* ---- drop_frames ----------------------------------------------------------------------------------- */

Test(pprof, cuts_allocators_of_the_language_from_heap_profiles)
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
		samples[count++] = (struct profile_sample){
			.frames = frames[i], .frame_count = 2, .values = {1, 1 << i, 1, 1 << i}};
	}
	struct perf_map *map = perf_map_parse(text, used);
	profile.jit = map;
	profile.kind = PROFILE_HEAP;
	profile.sample_count = count;
	encode("heap");
	perf_map_free(map);
	const char *top = go_pprof("-top -nodefraction=0 heap");
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
