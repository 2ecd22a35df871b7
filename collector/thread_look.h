/* SPDX-License-Identifier: MIT */
/*
 * Looks at one thread of another process: where it is and what it waits for.  Three
 * ways, by what disturbs least:
 *
 *   published  the thread waits in a function that is interposed, and has said where
 *   read       the thread sleeps: the kernel tells pc and sp, its stack is copied
 *   stopped    the thread runs, or sleeps in a call that is restarted and its stack
 *              cannot be unwound from pc and sp alone
 *
 * Context: one thread of a process whose end lets go of whatever it has stopped.
 */
#ifndef COLLECTOR_THREAD_LOOK_H
#define COLLECTOR_THREAD_LOOK_H

#include "segment_reader.h"
#include "thread_reading.h"
#include "thread_since.h"
#include "thread_stop.h"

/* Frames further up are read as the walk comes to them. */
#define THREAD_LOOK_STACK_BYTES ((size_t)64 << 10)

/* What it works with; a large object. */
struct thread_look {
	pid_t pid;
	const struct segment_reader *segment; /* NULL: none */
	struct remote_unwind *unwind;
	struct remote_memory *memory; /* the same as the unwinder's */
	/* All zero at first. */
	uint32_t next_slot; /* where a thread's slot is looked for first */
	struct thread_stop_late late;
	struct thread_since_clocks clocks;
	unsigned char stack[THREAD_LOOK_STACK_BYTES];
};

/* Fills in the reading of the thread `reading->tid`. */
void thread_look_at(struct thread_look *look, struct thread_reading *reading);

/* Whether a thread has not left its sleep since it was read. */
bool thread_look_is_unchanged(pid_t pid, const struct thread_reading *reading);

#endif
