/* SPDX-License-Identifier: MIT */
/*
 * What is read of one thread of another process.
 *
 * Context: any process of the collector; types only.
 */
#ifndef COLLECTOR_THREAD_READING_H
#define COLLECTOR_THREAD_READING_H

#include "cprof_shm.h"
#include "remote_unwind.h"
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

#endif
