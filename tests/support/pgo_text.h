/* SPDX-License-Identifier: MIT */
/*
 * A tree of counts as LLVM's text, to compare with what it should be.
 *
 * Context: tests.
 */
#ifndef TESTS_SUPPORT_PGO_TEXT_H
#define TESTS_SUPPORT_PGO_TEXT_H

#include <criterion/criterion.h>
#include <stdio.h>

#include "pgo_write.h"

/* Valid until the next call. */
static inline const char *pgo_text(const struct pgo_tree *tree)
{
	static char text[4096];
	FILE *to = fmemopen(text, sizeof text, "w");
	cr_assert_eq(pgo_write_llvm(tree, to), 0);
	fclose(to);
	return text;
}

#endif
