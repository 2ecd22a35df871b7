/* SPDX-License-Identifier: MIT */
/*
 * Finding the collectors of a network namespace, sending them a command and reading
 * what they answer (see include/cprof_wire.h).
 *
 * Context: command line.
 */
#ifndef TOOLS_COLLECTOR_LINK_H
#define TOOLS_COLLECTOR_LINK_H

#include <stddef.h>

#include "cprof_wire.h"

#define COLLECTOR_LINE_BYTES 512

/* Called for each answer but the last.  `bytes` is what a collector says: only as true as that. */
typedef void (*collector_on_answer)(enum cprof_answer_what what, const void *bytes, size_t size,
				    void *argument);

/*
 * Sends a complete command, with a pidfd of its target (or -1), to the collectors of the
 * network namespace that we are in; passes the answers on of the one that has it.  0 or
 * -errno, and `line` says what is wrong.  -ESRCH: none of them has the process; then line
 * is left as it was, unless one of them could not say so.
 */
int collector_link_ask(const struct cprof_command *command, int pidfd, collector_on_answer on_answer,
		       void *argument, char line[COLLECTOR_LINE_BYTES]);

/* Passes on the answers of all.  -EIO: one of them did not answer, or not so that it can be read. */
int collector_link_ask_all(const struct cprof_command *command, collector_on_answer on_answer,
			   void *argument);

#endif
