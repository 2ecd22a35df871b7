/* SPDX-License-Identifier: MIT */
/*
 * Talking to the collectors of live processes: finding them, sending a command,
 * reading the answers (see include/cprof_wire.h).
 *
 * Context: command line.
 */
#ifndef TOOLS_COLLECTOR_PEER_H
#define TOOLS_COLLECTOR_PEER_H

#include <stdio.h>
#include <sys/types.h>

#include "cprof_wire.h"

/* Called for each answer but the last.  `bytes` is what a collector says: only as true as that. */
typedef void (*collector_on_answer)(enum cprof_answer_what what, const void *bytes, size_t size,
				    void *argument);

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
