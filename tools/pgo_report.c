/* SPDX-License-Identifier: MIT */
/*
 * Context: command line; see pgo_report.h.
 */
#include "pgo_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define NO_LINE_SHARE_MAX 0.35

static void print_samples(FILE *to, const struct pgo_samples *samples, const struct pgo_coverage *coverage)
{
	fprintf(to,
		"  samples: %" PRIu64 " read from %zu profile%s, %" PRIu64 " in other objects, %" PRIu64
		" in code without debug information, %" PRIu64 " on no line\n",
		samples->read, samples->files, samples->files == 1 ? "" : "s", samples->foreign,
		coverage->no_debug, coverage->no_line);
}

int pgo_report_too_few(const struct pgo_options *options, const struct pgo_samples *samples,
		       const struct pgo_coverage *coverage)
{
	uint64_t usable = samples->used - coverage->no_debug;
	if (usable >= options->min_samples && usable > 0)
		return 0;
	fprintf(stderr,
		"cprof pgo: %" PRIu64 " samples in %s that can be used, too few: at least %" PRIu64
		" are wanted (--min-samples); merge more profiles, or profile longer or at a higher "
		"CPROF_CPU_HZ\n",
		usable, options->binary, options->min_samples ? options->min_samples : 1);
	print_samples(stderr, samples, coverage);
	return -ENODATA;
}

void pgo_report_print(const struct pgo_options *options, const struct pgo_samples *samples,
		      const struct pgo_coverage *coverage)
{
	uint64_t in_code = samples->used - coverage->no_debug;
	/* Without a line, a sample still counts for its block; the largest of a place has no use for it. */
	bool has_no_use = options->estimate.estimator == PGO_ESTIMATE_MAX;
	printf("%s: %" PRIu64 " functions from %" PRIu64 " samples\n", options->out, coverage->functions,
	       in_code - (has_no_use ? coverage->no_line : 0));
	print_samples(stdout, samples, coverage);
	if (options->estimate.has_calls)
		printf("  indirect calls: %" PRIu64 " that ran, %" PRIu64 " with targets\n",
		       coverage->indirect_sites, coverage->sites_with_targets);
	fflush(stdout);

	double share = in_code ? (double)coverage->no_line / (double)in_code : 0;
	if (share > NO_LINE_SHARE_MAX)
		fprintf(stderr,
			"cprof pgo: warning: %.0f %% of the samples are in code that belongs to no line: the"
			" profile says little; build with -fdebug-info-for-profiling, and without -g1\n",
			share * 100);
	if (!coverage->has_discriminators)
		fputs("cprof pgo: warning: there are no discriminators, so the blocks of one line look "
		      "alike; build"
		      " with -fdebug-info-for-profiling\n",
		      stderr);
	if (options->estimate.has_calls && coverage->hot_sites_without_targets)
		fprintf(stderr,
			"cprof pgo: warning: no stack tells whom %" PRIu64 " hot indirect call%s went to\n",
			coverage->hot_sites_without_targets,
			coverage->hot_sites_without_targets == 1 ? "" : "s");
}
