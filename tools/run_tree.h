/* SPDX-License-Identifier: MIT */
/*
 * The processes that belong to one `cprof run`: those with CPROF_RUN=<mark> in their
 * environment, which the collector inherits as well.
 *
 * Context: command line.
 */
#ifndef TOOLS_RUN_TREE_H
#define TOOLS_RUN_TREE_H

#include <stddef.h>

#define RUN_TREE_ENV "CPROF_RUN"
#define RUN_TREE_MARK_BYTES 17

struct run_tree_count {
	size_t collectors;
	size_t programs;
};

/* Draws a mark that no other run has: 16 hex digits and a NUL.  0 or -errno. */
int run_tree_make_mark(char mark[RUN_TREE_MARK_BYTES]);

/* Counts the live processes with this mark whose environment we may read. */
struct run_tree_count run_tree_count(const char *mark);

#endif
