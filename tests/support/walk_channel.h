/* SPDX-License-Identifier: MIT */
/*
 * What the probe in a program tells the oracle that traces it: a walk that the in-app
 * unwinder made in a signal handler, with the registers it started from.  A file mapped
 * by both; the probe fills it, then stops itself by a breakpoint until the oracle has
 * made the same walk from outside.  When the oracle wants a step, the program is left with
 * the trap flag set, so that it stops again after its next instruction.
 */
#ifndef TESTS_WALK_CHANNEL_H
#define TESTS_WALK_CHANNEL_H

#include <signal.h>
#include <stdint.h>

/* No program uses it; some (sort) die of a SIGPROF, which they take for a request to end. */
#define WALK_SIGNAL SIGSTKFLT

#define WALK_CHANNEL_ENV "WALK_CHANNEL"
#define WALK_FRAMES_MAX 128
#define WALK_REGISTERS 17 /* by DWARF number */

struct walk_channel {
	uint32_t is_ready; /* the probe is installed */
	uint32_t is_taken; /* a thread has the channel */
	uint32_t tid;
	uint32_t flags; /* CPROF_STACK_* */
	uint32_t frame_count;
	uint32_t wants_step; /* by the oracle */
	uint64_t registers[WALK_REGISTERS];
	uint64_t pcs[WALK_FRAMES_MAX];
};

#endif
