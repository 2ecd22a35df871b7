/* SPDX-License-Identifier: MIT */
/*
 * What a trace says in a few screens of text: where each thread's time went, its longest
 * waits, who woke whom, how long tasks and regions took.
 *
 * Context: command line.
 */
#ifndef TOOLS_TRACE_SUMMARY_H
#define TOOLS_TRACE_SUMMARY_H

#include <stdio.h>

#include "perfetto_file.h"

/* 0 or -ENOMEM. */
int trace_summary_print(const struct perfetto_file *file, FILE *to);

/* Durations of slices of one kind, by name, as histograms (trace_latency.c).  0 or -ENOMEM. */
int trace_latency_print(const struct perfetto_file *file, enum perfetto_slice_kind kind, const char *title,
			FILE *to);

#endif
