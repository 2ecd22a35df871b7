/* SPDX-License-Identifier: MIT */
/*
 * cprof: profiles of unmodified programs, from the command line.  Each subcommand is
 * a cmd_*.c of its own.
 *
 * Context: command line.
 */
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "cprof_compiler.h"
#include "cprof_version.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{"run", cmd_run, "run a command and write profiles of it and of its children"},
	{"list", cmd_list, "show the live profiled processes, their rates, samples and losses"},
	{"set", cmd_set, "change the rates of a live process: cprof set PID heap_rate=64K"},
	{"snapshot", cmd_snapshot, "write profiles of a live process, or show what its threads do"},
	{"top", cmd_top, "show where a live process spends its time, anew each second"},
	{"pgo", cmd_pgo, "make a profile that speeds up the next build from CPU profiles"},
	{"trace", cmd_trace, "show what a trace says: waits, who ended them, tasks, regions"},
	{"recover", cmd_recover, "write profiles from a segment file that was kept (.NAME.PID.cprof)"},
};

static void print_help(void)
{
	puts("usage: cprof COMMAND [ARGUMENT...]\n");
	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
		printf("  %-9s %s\n", commands[i].name, commands[i].summary);
	puts("\n`cprof COMMAND --help` says more; so does cprof(1).\n"
	     "Read a profile with `go tool pprof FILE`.");
}

static int reject(const char *what, const char *argument)
{
	fprintf(stderr, "cprof: %s%s%s; accepted:", what, argument ? " " : "", argument ? argument : "");
	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
		fprintf(stderr, " %s,", commands[i].name);
	fputs(" --help, --version\n", stderr);
	return CMD_STATUS_USAGE;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return reject("a command is missing", NULL);
	const char *name = argv[1];
	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		print_help();
		return 0;
	}
	if (strcmp(name, "--version") == 0) {
		puts("cprof " CPROF_VERSION);
		return 0;
	}
	return reject(name[0] == '-' ? "unknown option" : "unknown command", name);
}
