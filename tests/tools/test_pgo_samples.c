/* SPDX-License-Identifier: MIT */
/*
 * Profiles made by hand of this very program, loaded at addresses of our choice: its own
 * file is the binary, and a function in assembly has instructions that are known.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cprof_compiler.h"
#include "pgo_code.h"
#include "pgo_samples.h"
#include "pprof_file.h"

typedef Perftools__Profiles__Function function_t;
typedef Perftools__Profiles__Line line_t;
typedef Perftools__Profiles__Location location_t;
typedef Perftools__Profiles__Mapping mapping_t;
typedef Perftools__Profiles__Profile profile_t;
typedef Perftools__Profiles__Sample sample_t;
typedef Perftools__Profiles__ValueType value_type_t;

/* Blocks of 2, 1, 2 and 1 instructions; the third begins where a jump leads. */
__asm__(".text\n"
	".globl known_code, known_code_end\n"
	"known_code:\n"
	"	xorl %eax, %eax\n"
	"	je 1f\n"
	"	incl %eax\n"
	"1:	call *%rdx\n"
	"	jmp known_code\n"
	"	ret\n"
	"known_code_end:\n");
extern const char known_code[], known_code_end[];
#define JE 2
#define INC 4
#define CALL 6
#define JMP 8
#define RET 10

static struct pgo_binary binary;
static struct pgo_samples samples;
static uint64_t code_address; /* of known_code in the file */

static void begin(void)
{
	extern const char __executable_start[];
	cr_assert_eq(pgo_binary_open(&binary, "/proc/self/exe"), 0);
	binary.name = "program";
	code_address = (uint64_t)(known_code - __executable_start);
}

static void end(void)
{
	pgo_samples_fini(&samples);
	pgo_binary_close(&binary);
}

TestSuite(pgo_samples, .init = begin, .fini = end);

/* ---- a profile made by hand ------------------------------------------------------------------ */

enum {
	TEXT_SAMPLES = 1,
	TEXT_COUNT,
	TEXT_CPU,
	TEXT_NS,
	TEXT_PROGRAM,
	TEXT_BUILD_ID,
	TEXT_LIBRARY,
	TEXT_SYSTEM
};
static char *texts[] = {"",   "samples",          "count",    "cpu", "nanoseconds", "/opt/program",
			NULL, "/lib/libother.so", "_Z5otherv"};

static struct {
	profile_t profile;
	value_type_t types[2], *type_list[2];
	mapping_t mappings[2], *mapping_list[2];
	function_t function, *function_list[1];
	line_t line, *line_list[1];
	location_t locations[8], *location_list[8];
	sample_t samples[8], *sample_list[8];
	uint64_t stacks[8][4];
	int64_t values[8][2];
} made;

/* The program loaded at `start`, and a library, whose location is the last. */
static void make(uint64_t start, const char *build_id)
{
	memset(&made, 0, sizeof made);
	texts[TEXT_BUILD_ID] = (char *)(uintptr_t)build_id;
	perftools__profiles__profile__init(&made.profile);
	made.profile.string_table = texts;
	made.profile.n_string_table = ARRAY_LENGTH(texts);
	for (int i = 0; i < 2; i++) {
		perftools__profiles__value_type__init(&made.types[i]);
		perftools__profiles__mapping__init(&made.mappings[i]);
		made.type_list[i] = &made.types[i];
		made.mapping_list[i] = &made.mappings[i];
		made.mappings[i].id = (uint64_t)i + 1;
	}
	made.types[0].type = TEXT_SAMPLES;
	made.types[0].unit = TEXT_COUNT;
	made.types[1].type = TEXT_CPU;
	made.types[1].unit = TEXT_NS;
	made.profile.sample_type = made.type_list;
	made.profile.n_sample_type = 2;
	/* All of the file as one: what offset an address has is what counts. */
	made.mappings[0].memory_start = start;
	made.mappings[0].memory_limit = start + (1 << 30);
	made.mappings[0].filename = TEXT_PROGRAM;
	made.mappings[0].build_id = TEXT_BUILD_ID;
	made.mappings[1].memory_start = UINT64_C(0x7f0000000000);
	made.mappings[1].memory_limit = UINT64_C(0x7f0000010000);
	made.mappings[1].filename = TEXT_LIBRARY;
	made.profile.mapping = made.mapping_list;
	made.profile.n_mapping = 2;
	perftools__profiles__function__init(&made.function);
	made.function.id = 1;
	made.function.system_name = TEXT_SYSTEM;
	made.function_list[0] = &made.function;
	made.profile.function = made.function_list;
	made.profile.n_function = 1;
	perftools__profiles__line__init(&made.line);
	made.line.function_id = 1;
	made.line_list[0] = &made.line;
	made.profile.location = made.location_list;
	made.profile.sample = made.sample_list;
}

static uint64_t add_location(uint64_t mapping, uint64_t address)
{
	size_t index = made.profile.n_location++;
	location_t *location = &made.locations[index];
	perftools__profiles__location__init(location);
	location->id = index + 1;
	location->mapping_id = mapping;
	location->address = address;
	made.location_list[index] = location;
	return location->id;
}

static uint64_t in_code(uint64_t offset)
{
	return add_location(1, made.mappings[0].memory_start + code_address + offset);
}

static uint64_t in_library(void)
{
	uint64_t id = add_location(2, made.mappings[1].memory_start + 16);
	made.locations[id - 1].line = made.line_list;
	made.locations[id - 1].n_line = 1;
	return id;
}

static void add_sample(int64_t count, size_t depth, const uint64_t *stack)
{
	size_t index = made.profile.n_sample++;
	sample_t *sample = &made.samples[index];
	perftools__profiles__sample__init(sample);
	memcpy(made.stacks[index], stack, depth * sizeof *stack);
	sample->location_id = made.stacks[index];
	sample->n_location_id = depth;
	made.values[index][0] = count;
	made.values[index][1] = count * 10000000;
	sample->value = made.values[index];
	sample->n_value = 2;
	made.sample_list[index] = sample;
}

#define STACK(count, ...) \
	add_sample((count), sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), (uint64_t[]){__VA_ARGS__})

static int add(bool is_any_build)
{
	return pgo_samples_add(&samples, &binary, is_any_build, "made", &made.profile);
}

/* ---- tests ----------------------------------------------------------------------------------- */

Test(pgo_samples, adds_up_runs_at_different_addresses)
{
	static const uint64_t starts[] = {UINT64_C(0x555555554000), UINT64_C(0x7e0000000000)};
	for (size_t i = 0; i < ARRAY_LENGTH(starts); i++) {
		make(starts[i], binary.build_id);
		uint64_t inc = in_code(INC), call = in_code(CALL), library = in_library();
		STACK(3, inc, call);
		STACK(2, inc);
		STACK(5, library, call);
		STACK(7, library);
		cr_assert_eq(add(false), 0);
	}
	cr_expect_eq(samples.files, 2);
	cr_expect_eq(samples.read, 34);
	cr_expect_eq(samples.used, 10);
	cr_expect_eq(samples.foreign, 24);
	cr_assert_eq(samples.leaf_count, 1);
	cr_expect_eq(samples.leaves[0].address, code_address + INC);
	cr_expect_eq(samples.leaves[0].count, 10);
	cr_assert_eq(samples.call_count, 2);
	cr_expect_eq(samples.calls[0].from, code_address + CALL);
	cr_expect_eq(samples.calls[0].to, 0);
	cr_expect_str_eq(samples.calls[0].to_name, "_Z5otherv");
	cr_expect_eq(samples.calls[0].count, 10);
	cr_expect_eq(samples.calls[1].to, code_address + INC);
	cr_expect_eq(samples.calls[1].count, 6);
}

Test(pgo_samples, passes_over_what_makes_no_sense)
{
	make(UINT64_C(0x555555554000), binary.build_id);
	uint64_t inc = in_code(INC), below = add_location(1, 1), beyond = add_location(1, UINT64_MAX),
		 nowhere = add_location(0, 5), strange = add_location(99, 5);
	STACK(1, inc, 12345, inc);
	STACK(1, below, inc);
	STACK(1, beyond, inc);
	STACK(1, nowhere, inc);
	STACK(1, strange, inc);
	STACK(1, 12345);
	STACK(-1, inc);
	cr_assert_eq(add(false), 0);
	cr_expect_eq(samples.read, 6);
	cr_expect_eq(samples.used, 1);
	cr_expect_eq(samples.foreign, 5);
	cr_expect_eq(samples.call_count, 0);
}

Test(pgo_samples, takes_no_other_build)
{
	make(UINT64_C(0x555555554000), "0123456789abcdef");
	STACK(1, in_code(INC));
	cr_expect_eq(add(false), -ESTALE);
	cr_expect_eq(samples.read, 0);
	cr_expect_eq(add(true), 0);
	cr_expect_eq(samples.used, 1);
	make(UINT64_C(0x555555554000), "");
	STACK(1, in_code(INC));
	cr_expect_eq(add(false), -ESTALE);
	cr_expect_eq(add(true), 0);
}

Test(pgo_samples, knows_the_binary_by_its_build_id_alone)
{
	make(UINT64_C(0x555555554000), binary.build_id);
	made.mappings[0].filename = TEXT_LIBRARY;
	STACK(4, in_code(INC));
	cr_expect_eq(add(false), 0);
	cr_expect_eq(samples.used, 4);
}

Test(pgo_samples, takes_only_cpu_profiles)
{
	make(UINT64_C(0x555555554000), binary.build_id);
	made.types[1].type = TEXT_COUNT;
	cr_expect_eq(add(false), -EINVAL);
}

/* ---- the code that they fell into ------------------------------------------------------------ */

Test(pgo_samples, are_counted_by_basic_blocks)
{
	static const size_t counts[] = {2, 1, 2, 1};
	struct pgo_code code;
	struct pgo_code_range range = {code_address, code_address + (uint64_t)(known_code_end - known_code)};
	make(UINT64_C(0x555555554000), binary.build_id);
	uint64_t first = in_code(0), je = in_code(JE), inc = in_code(INC), call = in_code(CALL + 1);
	STACK(1, first);
	STACK(2, je);
	STACK(4, inc);
	STACK(8, call);
	cr_assert_eq(add(false), 0);
	pgo_code_read(&code, &binary, &samples, &range, 1);
	cr_assert_eq(code.count, 6);
	cr_assert_eq(code.block_count, 4);
	for (size_t i = 0; i < 4; i++)
		cr_expect_eq(code.blocks[i].count, counts[i], "block %zu", i);
	cr_expect_eq(code.blocks[0].samples, 3);
	cr_expect_eq(code.blocks[1].samples, 4);
	cr_expect_eq(code.blocks[2].samples, 8);
	cr_expect_eq(code.blocks[3].samples, 0);
	cr_expect_eq(code.samples[3], 8);
	cr_expect_eq(code.instructions[3].flow, PGO_FLOW_CALL_INDIRECT);
	cr_expect_eq(code.block_of[4], 2);
	cr_expect_eq(pgo_code_find(&code, code_address + JMP + 1), 4);
	cr_expect_eq(pgo_code_find(&code, code_address + RET), 5);
	cr_expect_eq(pgo_code_find(&code, range.end), SIZE_MAX);
	cr_expect_eq(pgo_code_find(&code, range.start - 1), SIZE_MAX);
	pgo_code_fini(&code);
}
