/* SPDX-License-Identifier: MIT */
/*
 * The command line of `cprof pgo`.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_OPTIONS_H
#define TOOLS_PGO_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pgo_estimate.h"

enum pgo_format {
	PGO_FORMAT_LLVM_TEXT,
	PGO_FORMAT_LLVM_EXT,
	PGO_FORMAT_AUTOFDO_TEXT,
	PGO_FORMAT_GCOV,
	PGO_FORMAT_COUNT
};

struct pgo_options {
	const char *binary;
	const char *out;
	enum pgo_format format;
	struct pgo_estimate_options estimate;
	uint64_t min_samples;
	bool is_any_build;
	bool is_help;
	bool is_check; /* inputs are a profile that was made, and a source tree */
	char **inputs; /* within argv: profiles and URLs */
	size_t input_count;
};

extern const char *const pgo_format_names[PGO_FORMAT_COUNT];

/*
 * Reads the command line, whose words it may put in another order.  0, or -EINVAL and
 * said in one line what is wrong and what is accepted.
 */
int pgo_options_parse(int argc, char **argv, struct pgo_options *out_options);

#endif
