/* SPDX-License-Identifier: MIT */
/*
 * What a profile for the compiler was made of, in a few lines, and what is wrong with it.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_REPORT_H
#define TOOLS_PGO_REPORT_H

#include "pgo_estimate.h"
#include "pgo_options.h"
#include "pgo_samples.h"

/*
 * Whether there are too few samples to go by: -ENODATA, and said so and where they were
 * instead.
 */
int pgo_report_too_few(const struct pgo_options *options, const struct pgo_samples *samples,
		       const struct pgo_coverage *coverage);

/* What was used, to stdout; warnings to stderr. */
void pgo_report_print(const struct pgo_options *options, const struct pgo_samples *samples,
		      const struct pgo_coverage *coverage);

#endif
