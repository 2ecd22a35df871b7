/* SPDX-License-Identifier: MIT */
/*
 * The profiles and traces of one run among all those in its directory: they were not there
 * when it started, and the profiles bear its mark.
 *
 * Context: command line.
 */
#ifndef TOOLS_RUN_FILES_H
#define TOOLS_RUN_FILES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "summary.h"

struct run_files {
	char directory[PATH_MAX];
	char **before; /* names that were there at the start, sorted; owned */
	size_t before_count;
};

/* Notes what is there.  The directory need not exist yet. */
void run_files_open(struct run_files *files, const char *directory);

/* Whether a new profile of a process, NAME.PID.KIND.pb.gz, is there. */
bool run_files_have_pid(const struct run_files *files, pid_t pid);

/* Adds every new profile with this mark to the summary, and the traces of the same processes. */
void run_files_summarise(const struct run_files *files, const char *mark, struct summary *summary);

void run_files_close(struct run_files *files);

#endif
