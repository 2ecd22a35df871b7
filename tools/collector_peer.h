/* SPDX-License-Identifier: MIT */
/*
 * Commands about processes as people name them, with one line for whatever is wrong.
 *
 * Context: command line.
 */
#ifndef TOOLS_COLLECTOR_PEER_H
#define TOOLS_COLLECTOR_PEER_H

#include <stdio.h>
#include <sys/types.h>

#include "collector_link.h"

/*
 * Reads a PID as people write it, for the subcommand `name`.  0 and said why, if it is none.
 */
pid_t collector_parse_pid(const char *name, const char *text);

/*
 * Sends a command about process `pid` to the collector that has it; fills in the command
 * but for what, kinds and rates.  0, or EXIT_FAILURE with one line on stderr that says
 * what is wrong.
 */
int collector_ask_about(const char *name, pid_t pid, struct cprof_command *command,
			collector_on_answer on_answer, void *argument);

/* Asks all collectors that may be asked from here.  Those that fail are passed over. */
void collector_ask_all(struct cprof_command *command, collector_on_answer on_answer, void *argument);

/* Prints text of a collector so that it can do a terminal no harm; lines and tabs are kept if `is_text`. */
void collector_print(FILE *stream, const char *bytes, size_t size, bool is_text);

#endif
