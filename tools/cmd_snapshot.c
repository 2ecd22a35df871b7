/* SPDX-License-Identifier: MIT */
/*
 * `cprof snapshot PID [KIND...]`: profiles of a live process, now.  The paths go to
 * standard output; but whoever asks for the threads wants to read: then the dump goes
 * there and the paths to standard error.
 *
 * Context: command line.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "collector_peer.h"
#include "cprof_compiler.h"

static const struct kind {
	const char *option;
	uint32_t kinds;
	const char *help;
} kinds[] = {
	{"--cpu", CPROF_SNAPSHOT_CPU, "CPU time since the start"},
	{"--heap", CPROF_SNAPSHOT_HEAP, "memory in use now, and allocated since the start"},
	{"--block", CPROF_SNAPSHOT_BLOCK, "where threads waited"},
	{"--mutex", CPROF_SNAPSHOT_MUTEX, "who made others wait"},
	{"--threadcreate", CPROF_SNAPSHOT_THREADCREATE, "who started threads"},
	{"--threads", CPROF_SNAPSHOT_THREADS, "where all threads are now; also as text to standard output"},
	{"--flight", CPROF_SNAPSHOT_FLIGHT,
	 "the flight recorder's window, as NAME.PID.N.trace and .perfetto-trace"},
	{"--all", CPROF_SNAPSHOT_ALL, "all profiles that are on"},
};

static void print_help(void)
{
	puts("usage: cprof snapshot PID [KIND...]\n\n"
	     "Writes profiles of a live process, NAME.PID.KIND.N.pb.gz in its CPROF_OUT, and prints their\n"
	     "paths.  Without a KIND: each one that is on, but for the threads.\n");
	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
		printf("  %-15s %s\n", kinds[i].option, kinds[i].help);
}

static uint32_t find_kind(const char *option)
{
	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
		if (strcmp(option, kinds[i].option) == 0)
			return kinds[i].kinds;
	return 0;
}

static int reject(const char *argument, const char *what)
{
	fprintf(stderr, "cprof snapshot: %s%saccepted: cprof snapshot PID", argument, what);
	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
		fprintf(stderr, " [%s]", kinds[i].option);
	fputc('\n', stderr);
	return EXIT_FAILURE;
}

/* `argument`: where the paths go. */
static void print_answer(enum cprof_answer_what what, const void *bytes, size_t size, void *argument)
{
	FILE *paths = argument;
	if (what == CPROF_ANSWER_TEXT) {
		collector_print(stdout, bytes, size, true);
	} else if (what == CPROF_ANSWER_FILE) {
		collector_print(paths, bytes, size, false);
		fputc('\n', paths);
	}
}

int cmd_snapshot(int argc, char **argv)
{
	struct cprof_command command = {.what = CPROF_COMMAND_SNAPSHOT};
	pid_t pid = 0;
	for (int i = 1; i < argc; i++) {
		uint32_t kind = find_kind(argv[i]);
		if (strcmp(argv[i], "--help") == 0) {
			print_help();
			return EXIT_SUCCESS;
		}
		command.kinds |= kind;
		if (kind)
			continue;
		if (argv[i][0] == '-')
			return reject(argv[i], ": unknown option; ");
		if (pid)
			return reject(argv[i], ": a second PID; ");
		if (!(pid = collector_parse_pid("snapshot", argv[i])))
			return EXIT_FAILURE;
	}
	if (!pid)
		return reject("a PID is missing; ", "");
	bool is_to_read = command.kinds & CPROF_SNAPSHOT_THREADS &&
			  (command.kinds & CPROF_SNAPSHOT_ALL) != CPROF_SNAPSHOT_ALL;
	int status = collector_ask_about("snapshot", pid, &command, print_answer,
					 is_to_read ? stderr : stdout);
	return fflush(stdout) == 0 ? status : EXIT_FAILURE;
}
