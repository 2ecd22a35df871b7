/* SPDX-License-Identifier: MIT */
/*
 * Context: command line; see pgo_options.h.
 */
#include "pgo_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cprof_compiler.h"

#define MIN_SAMPLES 500

const char *const pgo_format_names[PGO_FORMAT_COUNT] = {
	[PGO_FORMAT_LLVM_TEXT] = "llvm-text",
	[PGO_FORMAT_LLVM_EXT] = "llvm-ext",
	[PGO_FORMAT_AUTOFDO_TEXT] = "autofdo-text",
	[PGO_FORMAT_GCOV] = "gcov",
};

static const char *const estimator_names[] = {
	[PGO_ESTIMATE_MAX] = "max",
	[PGO_ESTIMATE_AVERAGE] = "average",
};

static int reject(const char *what, const char *argument, const char *accepted)
{
	fprintf(stderr, "cprof pgo: %s%s%s; accepted: %s\n", what, argument ? " " : "",
		argument ? argument : "", accepted);
	return -EINVAL;
}

/* The index of a word, `count` if it is none of them. */
static size_t index_of(const char *word, const char *const *words, size_t count)
{
	size_t i = 0;
	while (i < count && strcmp(word, words[i]) != 0)
		i++;
	return i;
}

static int set_format(struct pgo_options *options, const char *value)
{
	size_t format = index_of(value, pgo_format_names, PGO_FORMAT_COUNT);
	if (format == PGO_FORMAT_COUNT)
		return reject("no such format:", value, "llvm-text, llvm-ext, autofdo-text, gcov");
	options->format = (enum pgo_format)format;
	return 0;
}

static int set_estimator(struct pgo_options *options, const char *value)
{
	size_t estimator = index_of(value, estimator_names, ARRAY_LENGTH(estimator_names));
	if (estimator == ARRAY_LENGTH(estimator_names))
		return reject("no such estimator:", value, "max, average");
	options->estimate.estimator = (enum pgo_estimator)estimator;
	return 0;
}

static int set_min_samples(struct pgo_options *options, const char *value)
{
	char *end;
	errno = 0;
	unsigned long long number = strtoull(value, &end, 10);
	if (errno || end == value || *end || value[0] == '-')
		return reject("--min-samples is no number:", value, "0 or more");
	options->min_samples = number;
	return 0;
}

static int set_binary(struct pgo_options *options, const char *value)
{
	options->binary = value;
	return 0;
}

static int set_out(struct pgo_options *options, const char *value)
{
	options->out = value;
	return 0;
}

static const struct valued {
	const char *name;
	int (*set)(struct pgo_options *options, const char *value);
} valued[] = {
	{"--binary", set_binary}, {"--format", set_format},           {"--estimator", set_estimator},
	{"--out", set_out},       {"--min-samples", set_min_samples}, {"-o", set_out},
};

static bool set_flag(struct pgo_options *options, const char *word)
{
	if (strcmp(word, "--no-calls") == 0)
		options->estimate.has_calls = false;
	else if (strcmp(word, "--allow-build-id-mismatch") == 0)
		options->is_any_build = true;
	else if (strcmp(word, "--check") == 0)
		options->is_check = true;
	else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		options->is_help = true;
	else
		return false;
	return true;
}

/* Takes the option at argv[*at], and moves on to its last word.  0 or -EINVAL. */
static int take_option(struct pgo_options *options, int argc, char **argv, int *at)
{
	const char *word = argv[*at];
	if (set_flag(options, word))
		return 0;
	for (size_t i = 0; i < ARRAY_LENGTH(valued); i++) {
		size_t length = strlen(valued[i].name);
		if (strncmp(word, valued[i].name, length) != 0)
			continue;
		if (word[length] == '=' && word[1] == '-')
			return valued[i].set(options, word + length + 1);
		if (word[length] != '\0')
			continue;
		if (++*at == argc)
			return reject("no value after", word, "a value");
		return valued[i].set(options, argv[*at]);
	}
	return reject("unknown option", word, "cprof pgo --help lists them");
}

int pgo_options_parse(int argc, char **argv, struct pgo_options *out)
{
	struct pgo_options options = {
		.estimate = {.estimator = PGO_ESTIMATE_AVERAGE, .has_calls = true},
		.min_samples = MIN_SAMPLES,
		.inputs = argv + 1,
	};
	for (int i = 1; i < argc; i++) {
		if (argv[i][0] != '-' || argv[i][1] == '\0') {
			options.inputs[options.input_count++] = argv[i];
			continue;
		}
		int error = take_option(&options, argc, argv, &i);
		if (error)
			return error;
	}
	if (options.is_check && !options.is_help) {
		if (options.binary || options.input_count != 2)
			return reject("--check wants two words", NULL,
				      "--check PROFILE SOURCE-TREE [-o OUT], PROFILE being one that cprof "
				      "pgo made");
		if (!options.out)
			options.out = options.inputs[0];
	} else if (!options.is_help) {
		if (!options.binary)
			return reject("no binary is named", NULL,
				      "--binary FILE, the program or library to rebuild");
		if (!options.out)
			return reject("no output is named", NULL, "-o FILE");
		if (!options.input_count)
			return reject("no profile is named", NULL,
				      "CPU profiles (NAME.PID.cpu.pb.gz) or URLs of /debug/pprof/profile");
	}
	*out = options;
	return 0;
}
