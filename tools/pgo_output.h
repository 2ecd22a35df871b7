/* SPDX-License-Identifier: MIT */
/*
 * The finished profile as a file: written under a temporary name beside its own and
 * renamed, so that a build that runs meanwhile reads the old one or the new one.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_OUTPUT_H
#define TOOLS_PGO_OUTPUT_H

#include <limits.h>
#include <stdio.h>

struct pgo_output {
	const char *path; /* borrowed */
	char temporary[PATH_MAX];
	FILE *stream;
};

/* 0, or -errno and said why. */
int pgo_output_open(struct pgo_output *output, const char *path);

/* Closes and renames.  0, or -errno and said why; the temporary file is then gone. */
int pgo_output_commit(struct pgo_output *output);

/*
 * The same, after llvm-profdata has turned the text into LLVM's binary form.
 */
int pgo_output_commit_extbinary(struct pgo_output *output);

/* Gives up; does nothing after a commit. */
void pgo_output_abandon(struct pgo_output *output);

#endif
