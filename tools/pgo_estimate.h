/* SPDX-License-Identifier: MIT */
/*
 * From samples, which measure time, to the counts that compilers expect, which are
 * executions.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_ESTIMATE_H
#define TOOLS_PGO_ESTIMATE_H

#include <stdbool.h>

#include "pgo_debug.h"
#include "pgo_origins.h"
#include "pgo_samples.h"
#include "pgo_tree.h"

enum pgo_estimator {
	PGO_ESTIMATE_MAX,     /* of the samples at each of a place's instructions */
	PGO_ESTIMATE_AVERAGE, /* over the instructions of a basic block */
};

struct pgo_estimate_options {
	enum pgo_estimator estimator;
	bool has_calls; /* take indirect calls' targets from the stacks */
};

/* What became of the samples in the binary, and what the profile covers. */
struct pgo_coverage {
	uint64_t samples;        /* that were taken in the binary */
	uint64_t no_debug;       /* of these, in code that debug information does not cover */
	uint64_t no_line;        /* in code that belongs to no line */
	uint64_t functions;      /* with samples or calls */
	uint64_t indirect_sites; /* indirect calls in blocks that ran */
	uint64_t sites_with_targets;
	uint64_t hot_sites_without_targets;
	bool has_discriminators;
};

/* Fills `out_tree` and `out_origins`, which are empty. */
void pgo_estimate(const struct pgo_estimate_options *options, const struct pgo_binary *binary,
		  struct pgo_debug *debug, const struct pgo_samples *samples, struct pgo_tree *out_tree,
		  struct pgo_origins *out_origins, struct pgo_coverage *out_coverage);

#endif
