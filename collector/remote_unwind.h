/* SPDX-License-Identifier: MIT */
/*
 * The stack of a thread of another process, by call frame information alone: from
 * registers of which some may not be known to return addresses.  A frame that cannot
 * be found without guessing ends the walk; no frame is ever made up.
 *
 * libunwind does it, through accessors of ours; it is loaded when the first stack is
 * asked for.  It trusts what it reads: a process that may be hostile is unwound in a
 * process of its own (thread_reader.c).
 *
 * Context: one thread of any process of the collector.
 */
#ifndef COLLECTOR_REMOTE_UNWIND_H
#define COLLECTOR_REMOTE_UNWIND_H

#include "remote_memory.h"
#include "remote_objects.h"
#include "remote_regs.h"

/* Why a walk ended. */
enum remote_end {
	REMOTE_END_FIRST_FRAME,      /* the thread's first function: the stack is complete */
	REMOTE_END_FRAMES_MAX,       /* there was no room for more */
	REMOTE_END_UNKNOWN_REGISTER, /* the next frame needs a register that is not known */
	REMOTE_END_NO_TABLE,         /* code without call frame information */
	REMOTE_END_NOT_CODE,         /* the return address is none */
	REMOTE_END_MEMORY,           /* it cannot be read */
	REMOTE_END_NO_UNWINDER,      /* there is no libunwind */
	REMOTE_END_BUDGET,           /* too many reads: the tables are damaged */
	REMOTE_END_COUNT
};

struct remote_unwind;

/* All is borrowed until _close.  NULL: no memory. */
struct remote_unwind *remote_unwind_open(struct remote_memory *memory, const struct remote_objects *objects);

/*
 * Walks from `regs` (pc and sp are known at least) and writes addresses, leaf first:
 * is_exact tells interrupted instructions from return addresses.  *out_count is at
 * least 1 unless frames_max is 0.
 */
enum remote_end remote_unwind_walk(struct remote_unwind *unwind, const struct remote_regs *regs,
				   uint64_t *frames, bool *is_exact, uint32_t frames_max,
				   uint32_t *out_count);

/* Accepts NULL. */
void remote_unwind_close(struct remote_unwind *unwind);

#endif
