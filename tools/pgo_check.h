/* SPDX-License-Identifier: MIT */
/*
 * Whether the functions of a profile are still what they were: one whose lines shifted
 * misleads the compiler, so that the build is slower than without a profile.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_CHECK_H
#define TOOLS_PGO_CHECK_H

#include <stddef.h>

#include "pgo_origins.h"
#include "pgo_tree.h"

/* Functions by what became of them. */
struct pgo_check {
	size_t same;
	size_t moved;   /* the same on other lines */
	size_t changed; /* their counts were taken out */
	size_t unknown; /* their files were not found, or they were never hashed */
};

/*
 * Looks for each function below the source tree ("": where it was compiled) and takes those that changed out of the
 * profile, wherever they are inlined too.
 */
void pgo_check_tree(struct pgo_tree *tree, const struct pgo_origins *origins, const char *source_tree,
		    struct pgo_check *out_check);

/* One line to stdout. */
void pgo_check_print(const struct pgo_check *check);

/* `cprof pgo --check PROFILE SOURCE-TREE`, written to `out`.  0, or -errno and said why. */
int pgo_check_profile(const char *profile, const char *source_tree, const char *out);

#endif
