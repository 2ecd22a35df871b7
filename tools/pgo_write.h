/* SPDX-License-Identifier: MIT */
/*
 * Sample profiles as compilers read them.  Each returns 0 or -errno.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_WRITE_H
#define TOOLS_PGO_WRITE_H

#include <stdio.h>

#include "pgo_samples.h"
#include "pgo_tree.h"

/* For `clang -fprofile-sample-use=`. */
int pgo_write_llvm(const struct pgo_tree *tree, FILE *to);

/* For `gcc -fauto-profile=`. */
int pgo_write_gcov(const struct pgo_tree *tree, FILE *to);

/* The samples themselves, for google/autofdo's tools. */
int pgo_write_autofdo(const struct pgo_samples *samples, FILE *to);

#endif
