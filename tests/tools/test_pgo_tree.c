/* SPDX-License-Identifier: MIT */
/*
 * The tree of counts, and LLVM's text form of it.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "pgo_text.h"

static struct pgo_tree tree;

static void end(void)
{
	pgo_tree_fini(&tree);
}

TestSuite(pgo_tree, .fini = end);

static struct pgo_place at(uint32_t line, uint32_t discriminator)
{
	return (struct pgo_place){line, discriminator};
}

Test(pgo_tree, is_empty_at_first)
{
	cr_expect_str_empty(pgo_text(&tree));
}

Test(pgo_tree, has_each_thing_once)
{
	struct pgo_node *f = pgo_tree_function(&tree, "f");
	cr_expect_eq(pgo_tree_function(&tree, "f"), f);
	struct pgo_node *g = pgo_node_inlinee(f, at(3, 1), "g");
	cr_expect_eq(pgo_node_inlinee(f, at(3, 1), "g"), g);
	cr_expect_neq(pgo_node_inlinee(f, at(3, 2), "g"), g);
	cr_expect_neq(pgo_node_inlinee(f, at(3, 1), "h"), g);
	pgo_node_body(f, at(2, 0))->count = 7;
	cr_expect_eq(pgo_node_body(f, at(2, 0))->count, 7);
	cr_expect_eq(pgo_node_body(f, at(2, 1))->count, 0);
	cr_expect_eq(f->inlinee_count, 3);
	cr_expect_eq(f->body_count, 2);
}

Test(pgo_tree, adds_to_targets_or_raises_them)
{
	struct pgo_body *body = pgo_node_body(pgo_tree_function(&tree, "f"), at(1, 0));
	pgo_body_raise_target(body, "g", 5);
	pgo_body_raise_target(body, "g", 3);
	cr_assert_eq(body->target_count, 1);
	cr_expect_eq(body->targets[0].count, 5);
	pgo_body_add_target(body, "g", 3);
	cr_expect_eq(body->targets[0].count, 8);
}

Test(pgo_tree, is_written_hottest_first_with_places_in_order)
{
	struct pgo_node *cold = pgo_tree_function(&tree, "a_cold");
	pgo_node_body(cold, at(1, 0))->count = 5;
	cold->head = 5;
	struct pgo_node *hot = pgo_tree_function(&tree, "z_hot");
	hot->head = 10;
	pgo_node_body(hot, at(9, 0))->count = 30;
	pgo_node_body(hot, at(2, 3))->count = 20;
	pgo_node_body(hot, at(2, 0))->count = 10;
	pgo_body_add_target(pgo_node_body(hot, at(9, 0)), "two", 10);
	pgo_body_add_target(pgo_node_body(hot, at(9, 0)), "one", 10);
	pgo_body_add_target(pgo_node_body(hot, at(9, 0)), "one", 5);
	struct pgo_node *inlined = pgo_node_inlinee(hot, at(4, 2), "inlined");
	pgo_node_body(inlined, at(1, 0))->count = 100;
	pgo_node_body(pgo_node_inlinee(inlined, at(0, 0), "deeper"), at(65535, 0))->count = 1;
	cr_expect_str_eq(pgo_text(&tree), "z_hot:161:10\n"
					  " 2: 10\n"
					  " 2.3: 20\n"
					  " 9: 30 one:15 two:10\n"
					  " 4.2: inlined:101\n"
					  "  1: 100\n"
					  "  0: deeper:1\n"
					  "   65535: 1\n"
					  "a_cold:5:5\n"
					  " 1: 5\n");
}

Test(pgo_tree, loses_what_is_removed)
{
	struct pgo_node *f = pgo_tree_function(&tree, "f");
	pgo_node_body(f, at(1, 0))->count = 1;
	pgo_node_body(pgo_node_inlinee(f, at(2, 0), "x"), at(0, 0))->count = 2;
	pgo_node_body(pgo_node_inlinee(f, at(2, 0), "y"), at(0, 0))->count = 3;
	pgo_tree_function(&tree, "g");
	pgo_node_remove_inlinee(f, 0);
	cr_expect_eq(f->inlinee_count, 1);
	cr_expect_str_eq(f->inlinees[0].node->name, "y");
	cr_expect_eq(pgo_node_total(f), 4);
	pgo_tree_remove(&tree, 0);
	cr_expect_eq(tree.function_count, 1);
	cr_expect_str_eq(tree.functions[0]->name, "g");
}

Test(pgo_tree, keeps_order_among_many)
{
	char name[16];
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "f%03u", i * 617 % 1000);
		struct pgo_node *f = pgo_tree_function(&tree, name);
		pgo_node_body(f, at(i, 0))->count = i;
	}
	cr_assert_eq(tree.function_count, 1000);
	for (size_t i = 1; i < 1000; i++)
		cr_expect_lt(strcmp(tree.functions[i - 1]->name, tree.functions[i]->name), 0);
}
