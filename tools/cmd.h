/* SPDX-License-Identifier: MIT */
/*
 * The subcommands of `cprof`.  Each gets its own arguments (argv[0] is its name) and
 * returns the exit status.
 *
 * Context: command line.
 */
#ifndef TOOLS_CMD_H
#define TOOLS_CMD_H

/* A wrong command line: one line was printed. */
#define CMD_STATUS_USAGE 2
/* The tool itself failed, as against the command that it runs (env(1) has the same). */
#define CMD_STATUS_FAILED 125

int cmd_run(int argc, char **argv);
int cmd_recover(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_set(int argc, char **argv);
int cmd_snapshot(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_pgo(int argc, char **argv);
int cmd_trace(int argc, char **argv);

#endif
