/* SPDX-License-Identifier: MIT */
/*
 * LLVM's text form of a sample profile, read back into a tree.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_READ_LLVM_H
#define TOOLS_PGO_READ_LLVM_H

#include <stdio.h>

#include "pgo_tree.h"

/* 0, or -EBADMSG and the number of the line that is something else. */
int pgo_read_llvm(struct pgo_tree *tree, FILE *from, unsigned long *out_line);

#endif
