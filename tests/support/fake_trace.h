/* SPDX-License-Identifier: MIT */
/*
 * A trace of a process that never ran: threads and their events are put into chunks as
 * the library would, stacks into a segment.  Functions are named by a map of code made
 * at run time, so a stack is written as its names.
 *
 * Context: tests of the collector, between fixture_begin() and fixture_end().
 */
#ifndef TESTS_SUPPORT_FAKE_TRACE_H
#define TESTS_SUPPORT_FAKE_TRACE_H

#include "fake_segment.h"
#include "segment_reader.h"
#include "trace.h"

/* What the tests of traces share: an input that grows.  Times are as the test says. */
extern struct trace_input fake_trace;

/* Starts an empty trace of process 4242 "app" over this window; frees everything. */
void fake_trace_begin(uint64_t from_ns, uint64_t until_ns);
void fake_trace_end(void);

/* The same for a suite, in a scratch directory: from the first second of the clock to the second. */
void fake_trace_open(void);
void fake_trace_close(void);
#define FAKE_MS UINT64_C(1000000)

/*
 * A thread 4243 "worker" waits for a mutex from 1200 ms to 1301 ms, which thread 4242 "app" lets go
 * at 1300 ms, at these stacks.
 */
void fake_trace_hand_over(const char *lock_stack, const char *unlock_stack);
#define FAKE_LOCK UINT64_C(0x7f0000001000)

/* A thread, live, as its slot shows it.  Returns its number. */
uint32_t fake_trace_thread(uint32_t tid, const char *name);

/* What the slots show, to be changed; a thread that is not listed has lost its slot. */
struct trace_thread *fake_trace_slot(uint32_t thread);

/* The id of a stack "leaf;caller;root". */
uint32_t fake_trace_stack(const char *names);

/* Adds an event to the thread's chunk; fields that are 0 need not be named. */
struct fake_event {
	uint64_t at;
	uint64_t a, b;
	uint32_t kind, what, flags, stack;
	const char *text;
	const char *category; /* of a log: before the text */
};
void fake_trace_event(uint32_t thread, struct fake_event event);
#define FAKE_EVENT(thread, ...) fake_trace_event((thread), (struct fake_event){__VA_ARGS__})

/* The thread goes on in a new chunk. */
void fake_trace_next_chunk(uint32_t thread);
struct cprof_trace_chunk *fake_trace_chunk(size_t index);

void fake_trace_gap(uint64_t from_ns, uint64_t until_ns, uint64_t events);

/* Encodes into DIR/name. */
void fake_trace_write(enum trace_format format, const char *name);

/*
 * What `go tool trace` says about DIR/name, event by event, and what its profile of waits
 * says; without a Go the test is skipped.  It fails if the trace is not accepted.
 */
char *fake_trace_go_events(const char *name);
char *fake_trace_go_waits(const char *name);

/* DIR/name, a Perfetto trace, event by event, as tests/support/perfetto_text.py reads and checks it. */
char *fake_trace_perfetto_text(const char *name);

#endif
