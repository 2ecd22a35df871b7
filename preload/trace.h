/* SPDX-License-Identifier: MIT */
/*
 * Events of the execution trace: this thread's part of the area that all threads go
 * round in (include/cprof_trace.h).
 *
 * Each nesting level of a thread (a handler in a recording in a handler) has a chunk of
 * its own, so nobody else writes to it while one event is made, and a handler that jumps
 * away leaves no half of one.  An event counts from the moment at which `used` covers it.
 *
 * Where none can be had, a thread without a slot say, the event is dropped and counted.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_TRACE_H
#define PRELOAD_TRACE_H

#include <stddef.h>

#include "cprof_atomic.h"
#include "cprof_compiler.h"
#include "cprof_shm.h"
#include "thread.h"

/*
 * What everybody looks at first: a word that is 0 until there is a segment, then the
 * segment's.  A forked child that has not registered sees its parent's.
 */
extern const atomic_u32 *trace_word __attribute__((visibility("hidden")));

static ALWAYS_INLINE bool trace_is_on(void)
{
	return load_relaxed(trace_word) != 0; /* from some call on; which one does not matter */
}

/* The process records from now on: its control block's word counts. */
void trace_follow_segment(void);
/* It never will. */
void trace_turn_off(void);

/* How many chunks a window of so many bytes takes, of those that there are. */
uint32_t trace_chunks_for(uint64_t window_bytes);

/* An event, with the fields of struct cprof_event. */
struct trace_event {
	enum cprof_event_kind kind;
	uint32_t what;
	uint32_t flags;
	uint32_t stack;
	uint64_t time_ns; /* CLOCK_MONOTONIC, by tick_clock.h; 0: now */
	uint64_t a;
	uint64_t b;
};

/* Adds an event to the trace, if one is taken.  Under a guard, which gives the thread its slot. */
void trace_event(const struct guard *guard, const struct trace_event *event);

/* The same under the outermost guard of the thread with this slot, where calls may be made: a time is given. */
void trace_event_outermost(struct cprof_thread *slot, const struct trace_event *event);

/* Text need not end with a NUL. */
struct trace_text {
	const char *bytes;
	size_t byte_count;
};

/* The same with text: the parts one after the other, together cut at CPROF_TRACE_TEXT_MAX. */
void trace_event_text(const struct guard *guard, const struct trace_event *event,
		      const struct trace_text *parts, size_t part_count);

/* Somebody takes the slot: closes what its last thread left open, if that died without telling. */
void trace_slot_begins(struct cprof_thread *slot);
/* Its thread records nothing any more. */
void trace_slot_ends(struct cprof_thread *slot);

#endif
