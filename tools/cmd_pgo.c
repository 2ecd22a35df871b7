/* SPDX-License-Identifier: MIT */
/*
 * `cprof pgo`: from CPU profiles to what `clang -fprofile-sample-use=` reads.
 *
 * Context: command line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "pgo_estimate.h"
#include "pgo_options.h"
#include "pgo_output.h"
#include "pgo_report.h"
#include "pgo_write.h"
#include "pprof_file.h"

static void print_help(void)
{
	puts("usage: cprof pgo --binary FILE [OPTION...] -o OUT PROFILE...\n\n"
	     "Makes of CPU profiles of a program or shared library a sample profile with which the compiler\n"
	     "builds it faster: clang -fprofile-sample-use=OUT.  FILE is what was profiled, built with\n"
	     "-O2 -g -fdebug-info-for-profiling; PROFILEs are as many NAME.PID.cpu.pb.gz as there are.\n\n"
	     "  --binary FILE                what was profiled, with its debug information\n"
	     "  -o, --out OUT                the profile to write\n"
	     "  --format FORMAT              llvm-text (default), or llvm-ext through llvm-profdata\n"
	     "  --estimator max|average      the most samples of a line's instructions, or the average over "
	     "a\n"
	     "                               basic block (default)\n"
	     "  --no-calls                   leave out whom indirect calls went to\n"
	     "  --min-samples N              the fewest samples to go by (default 500)\n"
	     "  --allow-build-id-mismatch    also use profiles of another build of FILE\n");
}

static int add_input(struct pgo_samples *samples, const struct pgo_options *options,
		     const struct pgo_binary *binary, const char *path)
{
	Perftools__Profiles__Profile *profile;
	int error = pprof_file_load(path, &profile);
	if (error) {
		fprintf(stderr, "cprof pgo: %s: %s\n", path,
			error == -EBADMSG ? "is no pprof file" : strerror(-error));
		return error;
	}
	error = pgo_samples_add(samples, binary, options->is_any_build, path, profile);
	perftools__profiles__profile__free_unpacked(profile, NULL);
	return error;
}

static int write_profile(const struct pgo_options *options, const struct pgo_tree *tree)
{
	struct pgo_output output;
	int error = pgo_output_open(&output, options->out);
	if (error)
		return error;
	error = pgo_write_llvm(tree, output.stream);
	if (error) {
		fprintf(stderr, "cprof pgo: %s: %s\n", options->out, strerror(-error));
		pgo_output_abandon(&output);
		return error;
	}
	return options->format == PGO_FORMAT_LLVM_EXT ? pgo_output_commit_extbinary(&output)
						      : pgo_output_commit(&output);
}

static int convert(const struct pgo_options *options, const struct pgo_binary *binary,
		   struct pgo_debug *debug, const struct pgo_samples *samples)
{
	struct pgo_tree tree = {0};
	struct pgo_coverage coverage;
	pgo_estimate(&options->estimate, binary, debug, samples, &tree, &coverage);
	int error = pgo_report_too_few(options, samples, &coverage);
	if (!error)
		error = write_profile(options, &tree);
	if (!error)
		pgo_report_print(options, samples, &coverage);
	pgo_tree_fini(&tree);
	return error;
}

int cmd_pgo(int argc, char **argv)
{
	struct pgo_options options;
	struct pgo_binary binary;
	struct pgo_debug debug;
	struct pgo_samples samples = {0};
	if (pgo_options_parse(argc, argv, &options) != 0)
		return CMD_STATUS_USAGE;
	if (options.is_help) {
		print_help();
		return EXIT_SUCCESS;
	}
	if (pgo_binary_open(&binary, options.binary) != 0)
		return EXIT_FAILURE;
	int error = pgo_debug_open(&debug, &binary);
	for (size_t i = 0; !error && i < options.input_count; i++)
		error = add_input(&samples, &options, &binary, options.inputs[i]);
	if (!error)
		error = convert(&options, &binary, &debug, &samples);
	pgo_samples_fini(&samples);
	pgo_debug_close(&debug);
	pgo_binary_close(&binary);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
