/* SPDX-License-Identifier: MIT */
/*
 * Reads what every thread of a process is doing, in a child process of its own: the
 * unwinder trusts the tables that it finds in the other's memory, so tables that were
 * overwritten may crash it or make it run in circles.  The child leaves one reading
 * after the other in memory that it shares with us; when it dies it costs the thread
 * that it was at, and the next child goes on behind it.  Whatever it has stopped goes
 * on when it ends.
 *
 * Three ways, by what disturbs least:
 *
 *   published  the thread waits in a function that is interposed, and has said where
 *   read       the thread sleeps: the kernel tells pc and sp, its stack is copied
 *   stopped    the thread runs, or sleeps in a call that is restarted and its stack
 *              cannot be unwound from pc and sp alone
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_THREAD_READER_H
#define COLLECTOR_THREAD_READER_H

#include "remote_objects.h"
#include "remote_unwind.h"
#include "segment_reader.h"
#include "thread_state.h"

enum thread_how {
	THREAD_HOW_NONE, /* there is no stack */
	THREAD_HOW_PUBLISHED,
	THREAD_HOW_READ,
	THREAD_HOW_STOPPED
};

enum thread_progress { THREAD_NOT_REACHED = 0, THREAD_BEGUN, THREAD_DONE };

#define THREAD_FRAMES_MAX CPROF_STACK_FRAMES_MAX

/* One thread.  Shared between reader and parent, who does not believe what is in it. */
struct thread_reading {
	atomic_u32 progress; /* enum thread_progress */
	pid_t tid;           /* as we see it; by the parent */
	int error;           /* why there is no stack, -errno; 0 if there is one */
	enum thread_how how;
	enum remote_end end; /* of the stack */
	bool has_state;
	bool has_call;
	struct thread_state state;
	struct thread_call call;
	char wchan[THREAD_NAME_BYTES]; /* where the system call may not be known */
	/* From the thread's slot. */
	uint32_t wait; /* enum cprof_wait, of a published wait */
	uint32_t created_by;
	uint64_t object;
	uint64_t since_ns; /* CLOCK_MONOTONIC; 0: not known */
	/* Addresses, leaf first. */
	uint32_t frame_count;
	uint64_t frames[THREAD_FRAMES_MAX];
	bool is_exact[THREAD_FRAMES_MAX];
};

/* All threads of a process. */
struct thread_readings {
	struct thread_reading *items; /* sorted by tid; shared memory */
	size_t count;
	size_t crashes; /* readers that died at their work */
	bool is_late;   /* there was no time for all of them */
};

/*
 * Reads all threads of the process `pid`; `segment` may be NULL.  `tick` as in
 * thread_dump_take().  0, -ESRCH, -ENOMEM, or why no process could be made.
 */
int thread_reader_run(pid_t pid, const struct remote_objects *objects, const struct segment_reader *segment,
		      void (*tick)(void *), void *tick_arg, struct thread_readings *out_readings);

void thread_reader_free(struct thread_readings *readings);

/* Whether the thread has not left the CPU's queue since it was read. */
bool thread_reader_is_unchanged(pid_t pid, const struct thread_reading *reading);

#endif
