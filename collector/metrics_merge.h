/* SPDX-License-Identifier: MIT */
/*
 * The metrics of several processes as one text: Prometheus wants all samples of a name
 * together, and told apart by labels.
 *
 * Context: collector, main thread; pure functions.
 */
#ifndef COLLECTOR_METRICS_MERGE_H
#define COLLECTOR_METRICS_MERGE_H

#include "text_buffer.h"

struct metrics_part {
	char *labels; /* pid="1",process="a": added to each sample */
	char *text;   /* families, each from its "# HELP NAME ..." on */
};

/* Writes the parts' families in the order in which they appear first. */
void metrics_merge(const struct metrics_part *parts, size_t part_count, struct text_buffer *text);

/* The labels of a process, to be freed by the caller; NULL: no memory. */
char *metrics_merge_labels(unsigned pid, const char *name);

#endif
