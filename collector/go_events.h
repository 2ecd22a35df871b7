/* SPDX-License-Identifier: MIT */
/*
 * Events of a Go trace as bytes.  Each processor has a batch of its own; its events'
 * times are differences.  No two events of a trace get the same time: then there is only
 * one order in which a reader can put the batches together, the one in which they were
 * written.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_GO_EVENTS_H
#define COLLECTOR_GO_EVENTS_H

#include "byte_buffer.h"
#include "cprof_compiler.h"

/* Types of events, with their arguments behind the time. */
enum go_event {
	GO_BATCH = 1,      /* processor, time */
	GO_FREQUENCY = 2,  /* ticks per second */
	GO_STACK = 3,      /* id, frames, of each: pc, function, file, line */
	GO_MAXPROCS = 4,   /* processors, stack */
	GO_PROC_START = 5, /* thread */
	GO_PROC_STOP = 6,
	GO_CREATE = 13, /* goroutine, stack of its first function, stack */
	GO_END = 15,
	GO_SLEEP = 19, /* stack */
	GO_BLOCK = 20, /* likewise, as the next three */
	GO_BLOCK_SYNC = 25,
	GO_BLOCK_COND = 26,
	GO_BLOCK_NET = 27,
	GO_HEAP = 33,          /* bytes */
	GO_STRING = 37,        /* id, length, bytes; no time */
	GO_START_LOCAL = 38,   /* goroutine */
	GO_UNBLOCK_LOCAL = 39, /* goroutine, stack */
	GO_TASK_BEGIN = 45,    /* task, parent, name, stack */
	GO_TASK_END = 46,      /* task, stack */
	GO_REGION = 47,        /* task, 0: begin or 1: end, name, stack */
	GO_LOG = 48,           /* task, category, stack; then length and bytes of the message */
	GO_CPU_SAMPLE = 49     /* time, processor, goroutine, stack */
};

/* One more than the most arguments of an event with a time. */
#define GO_ARGUMENTS_MAX 6

/* A list of arguments, as the two parameters that functions take. */
#define GO_ARGUMENTS(...) \
	(const uint64_t[]){__VA_ARGS__}, (uint32_t)ARRAY_LENGTH(((const uint64_t[]){__VA_ARGS__}))

/* The events of a processor. */
struct go_batch {
	struct byte_buffer bytes;
	uint64_t time_ns; /* of the last event */
};

/* The times that are given out. */
struct go_clock {
	uint64_t last_ns;
};

void go_batch_begin(struct go_batch *batch, uint64_t processor, uint64_t time_ns);

/* The next moment, not before `time_ns`. */
uint64_t go_clock_next(struct go_clock *clock, uint64_t time_ns);

/* Adds an event at a moment of the clock, or, for those without a time, its arguments alone. */
void go_batch_add(struct go_batch *batch, enum go_event type, uint64_t time_ns, const uint64_t *arguments,
		  uint32_t argument_count);
void go_batch_untimed(struct go_batch *batch, enum go_event type, const uint64_t *arguments,
		      uint32_t argument_count);

/* A text with its length, behind a log; too long ones are cut. */
void go_batch_text(struct go_batch *batch, const char *text);

/* An entry of the table of strings. */
void go_batch_string(struct go_batch *batch, uint64_t id, const char *text);

#endif
