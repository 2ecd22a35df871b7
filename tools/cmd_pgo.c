/* SPDX-License-Identifier: MIT */
/*
 * `cprof pgo`: from CPU profiles to what `clang -fprofile-sample-use=` reads.
 *
 * Context: command line.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"
#include "pgo_check.h"
#include "pgo_estimate.h"
#include "pgo_fetch.h"
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
	     "-O2 -g -fdebug-info-for-profiling; PROFILEs are as many NAME.PID.cpu.pb.gz as there are,\n"
	     "or URLs: http://HOST:PORT/debug/pprof/profile?seconds=30, unix:SOCKET.\n\n"
	     "  --binary FILE                what was profiled, with its debug information\n"
	     "  -o, --out OUT                the profile to write\n"
	     "  --format FORMAT              llvm-text (default), llvm-ext (through llvm-profdata), gcov "
	     "(for\n"
	     "                               gcc 12 -fauto-profile=OUT, experimental), or autofdo-text (for\n"
	     "                               google/autofdo with --profiler=text)\n"
	     "  --estimator max|average      the most samples of a line's instructions, or the average over "
	     "a\n"
	     "                               basic block (default)\n"
	     "  --no-calls                   leave out whom indirect calls went to\n"
	     "  --min-samples N              the fewest samples to go by (default 500)\n"
	     "  --allow-build-id-mismatch    also use profiles of another build of FILE\n\n"
	     "       cprof pgo --check OUT SOURCE-TREE [-o NEW]\n\n"
	     "Takes the functions out of the profile whose source changed since (OUT.sources tells), keeps "
	     "those\n"
	     "that only moved, and writes the rest to NEW, or back to OUT.");
}

static int add_file(struct pgo_samples *samples, const struct pgo_options *options,
		    const struct pgo_binary *binary, const char *path, const char *name)
{
	Perftools__Profiles__Profile *profile;
	int error = pprof_file_load(path, &profile);
	if (error) {
		fprintf(stderr, "cprof pgo: %s: %s\n", name,
			error == -EBADMSG ? "is no pprof file" : strerror(-error));
		return error;
	}
	error = pgo_samples_add(samples, binary, options->is_any_build, name, profile);
	perftools__profiles__profile__free_unpacked(profile, NULL);
	return error;
}

static int add_input(struct pgo_samples *samples, const struct pgo_options *options,
		     const struct pgo_binary *binary, const char *word)
{
	char path[PATH_MAX];
	if (!pgo_fetch_is_url(word))
		return add_file(samples, options, binary, word, word);
	int error = pgo_fetch(word, path, sizeof path);
	if (error)
		return error;
	error = add_file(samples, options, binary, path, word);
	unlink(path);
	return error;
}

static int write_profile(const struct pgo_options *options, const struct pgo_samples *samples,
			 const struct pgo_tree *tree)
{
	struct pgo_output output;
	int error = pgo_output_open(&output, options->out);
	if (error)
		return error;
	if (options->format == PGO_FORMAT_AUTOFDO_TEXT)
		error = pgo_write_autofdo(samples, output.stream);
	else if (options->format == PGO_FORMAT_GCOV)
		error = pgo_write_gcov(tree, output.stream);
	else
		error = pgo_write_llvm(tree, output.stream);
	if (error) {
		fprintf(stderr, "cprof pgo: %s: %s\n", options->out, strerror(-error));
		pgo_output_abandon(&output);
		return error;
	}
	return options->format == PGO_FORMAT_LLVM_EXT ? pgo_output_commit_extbinary(&output)
						      : pgo_output_commit(&output);
}

/*
 * Sets what the sources say beside what they said when this build was first converted to
 * this file, if it was, and takes out what changed since; else hashes them now.
 */
static void check_sources(const struct pgo_options *options, const struct pgo_binary *binary,
			  struct pgo_tree *tree, struct pgo_origins *origins)
{
	struct pgo_origins known = {0};
	struct pgo_check check;
	struct stat file;
	size_t missing, newer;
	int64_t built = stat(options->binary, &file) == 0 ? file.st_mtime : 0;
	pgo_origins_hash(origins, built, &missing, &newer);
	memcpy(origins->build_id, binary->build_id, sizeof origins->build_id);
	printf("  sources: ");
	if (pgo_origins_load(&known, options->out) == 0 && known.build_id[0] &&
	    strcmp(known.build_id, binary->build_id) == 0) {
		pgo_check_tree(tree, &known, "", &check);
		pgo_check_print(&check);
		pgo_origins_override(origins, &known);
	} else {
		printf("%zu functions hashed, %zu not found\n", origins->count - missing, missing);
		fflush(stdout);
		if (newer)
			fprintf(stderr,
				"cprof pgo: warning: the files of %zu functions are younger than %s: if they "
				"changed"
				" since it was built, --check compares with the wrong state\n",
				newer, options->binary);
	}
	pgo_origins_fini(&known);
}

static int convert(const struct pgo_options *options, const struct pgo_binary *binary,
		   struct pgo_debug *debug, const struct pgo_samples *samples)
{
	struct pgo_tree tree = {0};
	struct pgo_origins origins = {0};
	struct pgo_coverage coverage;
	pgo_estimate(&options->estimate, binary, debug, samples, &tree, &origins, &coverage);
	int error = pgo_report_too_few(options, samples, &coverage);
	if (!error) {
		pgo_report_print(options, samples, &coverage);
		check_sources(options, binary, &tree, &origins);
		error = write_profile(options, samples, &tree);
	}
	if (!error)
		error = pgo_origins_save(&origins, options->out);
	pgo_tree_fini(&tree);
	pgo_origins_fini(&origins);
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
	if (options.is_check)
		return pgo_check_profile(options.inputs[0], options.inputs[1], options.out) ? EXIT_FAILURE
											    : EXIT_SUCCESS;
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
