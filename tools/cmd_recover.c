/* SPDX-License-Identifier: MIT */
/*
 * `cprof recover FILE`: the profiles of a process whose segment was kept as a file,
 * because no collector could live long enough to read it, or the trace that a killed one
 * left.  All the work is the collector's own (collector/recover.h).
 *
 * Context: command line.
 */
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "log.h"
#include "recover.h"

#define USAGE "cprof recover FILE [--out DIR]"

static int reject(const char *what, const char *argument)
{
	fprintf(stderr, "cprof recover: %s%s%s; accepted: " USAGE "\n", what, argument ? " " : "",
		argument ? argument : "");
	return CMD_STATUS_USAGE;
}

static void print_help(void)
{
	puts("usage: " USAGE "\n\n"
	     "Writes the profiles held in a segment file, .NAME.PID.cprof, which cprof keeps when\n"
	     "no collector could write them, and prints their names.  Of a .NAME.PID.trace-spool,\n"
	     "which a killed collector leaves, it writes the trace.  The file is only read; delete\n"
	     "it when you have what you want.\n\n"
	     "  --out DIR   where the files go (default: where FILE is)");
}

int cmd_recover(int argc, char **argv)
{
	const char *file = NULL, *out_dir = NULL;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			print_help();
			return 0;
		}
		if (strcmp(argv[i], "--out") == 0) {
			if (++i == argc)
				return reject("no value after", "--out");
			out_dir = argv[i];
		} else if (strncmp(argv[i], "--out=", strlen("--out=")) == 0) {
			out_dir = argv[i] + strlen("--out=");
		} else if (argv[i][0] == '-' && argv[i][1] != '\0') {
			return reject("unknown option", argv[i]);
		} else if (file) {
			return reject("more than one file:", argv[i]);
		} else {
			file = argv[i];
		}
	}
	if (!file)
		return reject("a file is missing", NULL);

	char directory[PATH_MAX];
	if (!out_dir) {
		snprintf(directory, sizeof directory, "%s", file);
		out_dir = dirname(directory);
	}
	log_open(STDERR_FILENO, log_level_of(getenv("CPROF_LOG")));
	struct recovered recovered;
	if (recover_file(file, out_dir, &recovered) != 0)
		return EXIT_FAILURE;
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++)
		if (recovered.files[kind][0])
			printf("%s/%s\n", out_dir, recovered.files[kind]);
	for (int format = 0; format < TRACE_FORMAT_COUNT; format++)
		if (recovered.trace.names[format][0])
			printf("%s/%s\n", out_dir, recovered.trace.names[format]);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
