/* SPDX-License-Identifier: MIT */
/*
 * What the profiles of one run say together: files, sums, losses and the functions at
 * the top, in a few lines for a terminal.
 *
 * Context: command line.
 */
#ifndef TOOLS_SUMMARY_H
#define TOOLS_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "profile.pb-c.h"

enum summary_measure {
	SUMMARY_CPU_NS,
	SUMMARY_INUSE_BYTES,
	SUMMARY_ALLOC_BYTES,
	SUMMARY_BLOCK_NS,
	SUMMARY_MUTEX_NS,
	SUMMARY_MEASURE_COUNT
};

/* What one function was charged with in one file. */
struct summary_entry {
	char *name; /* owned */
	int64_t values[SUMMARY_MEASURE_COUNT];
};

/* All fields are the module's own; start with one that is all zero. */
struct summary {
	struct summary_entry *entries;
	size_t entry_count, entry_capacity;
	char **files; /* "name  what is in it", owned */
	size_t file_count, file_capacity;
	size_t trace_count; /* of the files */
	char **losses;      /* "file: comment", owned */
	size_t loss_count, loss_capacity;
	int64_t totals[SUMMARY_MEASURE_COUNT];
	int64_t counts[SUMMARY_MEASURE_COUNT]; /* samples, blocks in use, blocks allocated, waits */
	bool has[SUMMARY_MEASURE_COUNT];
};

/*
 * Adds a profile.  A snapshot (NAME.PID.KIND.N.pb.gz) is listed, but not part of the
 * sums: the final profile of its process contains it.
 */
void summary_add(struct summary *summary, const char *file_name, const Perftools__Profiles__Profile *profile);

/* Adds a trace, of so many bytes: it is listed. */
void summary_add_trace(struct summary *summary, const char *file_name, int64_t bytes);

/* Prints; functions are sorted in place. */
void summary_print(struct summary *summary, const char *directory, FILE *to);

void summary_free(struct summary *summary);

#endif
