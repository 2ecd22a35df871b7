/* SPDX-License-Identifier: MIT */
/*
 * Samples at instructions of this very program, whose lines and addresses are known, and
 * what they become.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "pgo_code.h"
#include "pgo_estimate.h"

/* A block of three instructions with this line's place: two of ours and the return. */
extern const char leaf_first[], leaf_second[];
static int leaf_line;
__attribute__((noinline, noclone, used)) static void leaf(void)
{
	/* clang-format off */
	__asm__ volatile("leaf_first: nop\n leaf_second: nop"); leaf_line = __LINE__;
	/* clang-format on */
}

/* The call is indirect, and ends where the label is. */
extern const char behind_call[];
__attribute__((noinline, noclone, used)) static int caller(void (*callee)(void))
{
	callee();
	__asm__ volatile("behind_call: nop");
	return 7;
}

/* Its first block is not the one with the label. */
extern const char in_loop[];
__attribute__((noinline, noclone, used)) static void loop(int rounds)
{
	for (int i = 0; i < rounds; i++)
		__asm__ volatile("in_loop: nop");
}

static struct pgo_binary binary;
static struct pgo_debug debug;
static struct pgo_samples samples;
static struct pgo_tree tree;
static struct pgo_origins origins;
static struct pgo_coverage coverage;
static struct pgo_leaf leaves[4];
static struct pgo_call calls[4];

static uint64_t file_address(const char *code)
{
	extern const char __executable_start[];
	return (uint64_t)(code - __executable_start);
}

static void begin(void)
{
	leaf();
	loop(1);
	cr_assert_eq(caller(leaf), 7);
	cr_assert_eq(pgo_binary_open(&binary, "/proc/self/exe"), 0);
	cr_assert_eq(pgo_debug_open(&debug, &binary), 0);
	samples = (struct pgo_samples){.leaves = leaves, .calls = calls};
}

static void end(void)
{
	pgo_tree_fini(&tree);
	pgo_origins_fini(&origins);
	pgo_debug_close(&debug);
	pgo_binary_close(&binary);
}

TestSuite(pgo_estimate, .init = begin, .fini = end);

static void add_leaf(const char *code, uint64_t count)
{
	leaves[samples.leaf_count++] = (struct pgo_leaf){file_address(code), count};
	samples.used += count;
}

static void add_call(uint64_t to, const char *to_name, uint64_t count)
{
	calls[samples.call_count++] = (struct pgo_call){file_address(behind_call) - 1, to, to_name, count};
}

static void estimate(enum pgo_estimator estimator, bool has_calls)
{
	struct pgo_estimate_options options = {estimator, has_calls};
	pgo_estimate(&options, &binary, &debug, &samples, &tree, &origins, &coverage);
}

static struct pgo_node *function(const char *name)
{
	for (size_t i = 0; i < tree.function_count; i++)
		if (strcmp(tree.functions[i]->name, name) == 0)
			return tree.functions[i];
	cr_assert(false, "no function %s", name);
	return NULL;
}

static uint64_t largest(const struct pgo_node *node)
{
	uint64_t count = 0;
	for (size_t i = 0; i < node->body_count; i++)
		if (node->bodies[i].count > count)
			count = node->bodies[i].count;
	return count;
}

static const struct pgo_body *body_with_targets(const struct pgo_node *node)
{
	for (size_t i = 0; i < node->body_count; i++)
		if (node->bodies[i].target_count)
			return &node->bodies[i];
	return NULL;
}

Test(pgo_estimate, takes_the_most_of_a_place)
{
	add_leaf(leaf_first, 6);
	add_leaf(leaf_second, 12);
	estimate(PGO_ESTIMATE_MAX, true);
	cr_expect_eq(largest(function("leaf")), 12000);
	cr_expect_eq(function("leaf")->head, 12000);
	cr_expect_eq(coverage.functions, 1);
	cr_expect_eq(coverage.no_debug, 0);
	cr_expect_eq(coverage.no_line, 0);
}

Test(pgo_estimate, averages_over_a_block)
{
	add_leaf(leaf_first, 6);
	add_leaf(leaf_second, 12);
	struct pgo_code code;
	estimate(PGO_ESTIMATE_AVERAGE, true);
	Dwarf_Die die;
	Dwarf_Addr start, limit;
	cr_assert(pgo_debug_function(&debug, leaves[0].address, &die));
	cr_assert_eq(dwarf_lowpc(&die, &start), 0);
	cr_assert_eq(dwarf_highpc(&die, &limit), 0);
	struct pgo_code_range range = {start, limit};
	pgo_code_read(&code, &binary, &samples, &range, 1);
	size_t block = code.block_of[pgo_code_find(&code, leaves[0].address)];
	uint64_t expected = 18000 / code.blocks[block].count;
	cr_expect_eq(largest(function("leaf")), expected);
	for (size_t i = 0; i < function("leaf")->body_count; i++)
		cr_expect_eq(function("leaf")->bodies[i].count, expected);
	pgo_code_fini(&code);
}

Test(pgo_estimate, speaks_of_lines_from_the_function_on)
{
	add_leaf(leaf_first, 1);
	estimate(PGO_ESTIMATE_MAX, true);
	const struct pgo_node *node = function("leaf");
	cr_assert_eq(node->body_count, 1);
	cr_assert_eq(origins.count, 1);
	cr_expect_str_eq(origins.items[0].name, "leaf");
	cr_expect(strstr(origins.items[0].path, "test_pgo_estimate.c"));
	cr_expect_eq(node->bodies[0].place.line, (uint32_t)leaf_line - origins.items[0].first);
}

Test(pgo_estimate, splits_a_call_by_what_is_beneath_it)
{
	add_leaf(behind_call, 100);
	add_call(0, "_Z5otherv", 25);
	add_call(file_address(leaf_second), NULL, 75);
	estimate(PGO_ESTIMATE_MAX, true);
	const struct pgo_body *body = body_with_targets(function("caller"));
	cr_assert(body);
	cr_assert_eq(body->target_count, 2);
	cr_expect_str_eq(body->targets[0].name, "_Z5otherv");
	cr_expect_eq(body->targets[0].count, 25000);
	cr_expect_str_eq(body->targets[1].name, "leaf");
	cr_expect_eq(body->targets[1].count, 75000);
	cr_expect_eq(coverage.indirect_sites, 1);
	cr_expect_eq(coverage.sites_with_targets, 1);
	cr_expect_eq(coverage.hot_sites_without_targets, 0);
}

Test(pgo_estimate, takes_heads_from_calls_too)
{
	add_leaf(behind_call, 100);
	add_leaf(leaf_second, 1);
	if (leaves[0].address > leaves[1].address) {
		struct pgo_leaf first = leaves[0];
		leaves[0] = leaves[1];
		leaves[1] = first;
	}
	add_call(file_address(leaf_second), NULL, 75);
	estimate(PGO_ESTIMATE_MAX, false);
	cr_expect_eq(function("leaf")->head, 100000);
	cr_expect_null(body_with_targets(function("caller")), "without calls there are no targets");
}

Test(pgo_estimate, knows_that_a_block_with_a_call_ran)
{
	add_call(file_address(leaf_second), NULL, 75);
	estimate(PGO_ESTIMATE_AVERAGE, true);
	cr_expect_gt(largest(function("caller")), 0);
	cr_expect_lt(largest(function("caller")), 1000);
	cr_expect_eq(coverage.sites_with_targets, 1);
}

Test(pgo_estimate, knows_that_a_function_with_samples_was_entered)
{
	add_leaf(in_loop, 100);
	estimate(PGO_ESTIMATE_AVERAGE, true);
	cr_expect_gt(function("loop")->head, 0);
	cr_expect_lt(function("loop")->head, 1000);
}

Test(pgo_estimate, tells_of_hot_calls_without_targets)
{
	add_leaf(behind_call, 100);
	estimate(PGO_ESTIMATE_AVERAGE, true);
	cr_expect_eq(coverage.indirect_sites, 1);
	cr_expect_eq(coverage.sites_with_targets, 0);
	cr_expect_eq(coverage.hot_sites_without_targets, 1);
}

Test(pgo_estimate, takes_what_has_no_name_for_no_target)
{
	add_leaf(behind_call, 100);
	add_call(1, NULL, 75);
	estimate(PGO_ESTIMATE_AVERAGE, true);
	cr_expect_eq(coverage.sites_with_targets, 0);
	cr_expect_eq(coverage.hot_sites_without_targets, 1);
}

Test(pgo_estimate, counts_code_without_debug_information)
{
	leaves[samples.leaf_count++] = (struct pgo_leaf){1, 5};
	samples.used = 5;
	estimate(PGO_ESTIMATE_AVERAGE, true);
	cr_expect_eq(coverage.no_debug, 5);
	cr_expect_eq(tree.function_count, 0);
}
