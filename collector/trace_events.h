/* SPDX-License-Identifier: MIT */
/*
 * Chunks of a trace -> its events, validated, in the order of time, each with its
 * thread.  Whatever the chunks hold, what comes out is well-formed: kinds, causes and
 * threads that exist, texts that are UTF-8, nothing after the trace's end.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_TRACE_EVENTS_H
#define COLLECTOR_TRACE_EVENTS_H

#include "arena.h"
#include "trace.h"

struct trace_event {
	uint64_t time_ns;
	uint64_t a, b;       /* see include/cprof_trace.h */
	const char *text;    /* type, name or path; of a log: its category; "": none */
	const char *message; /* of a log, else NULL */
	uint32_t stack;
	uint32_t thread; /* index into threads */
	uint8_t kind;    /* enum cprof_event_kind: not NONE, not TEXT */
	uint8_t what;    /* of a WAIT or WAKE: enum cprof_wait, not NONE */
	uint8_t flags;
	bool is_after_cut; /* events of its thread that came before it are missing */
	uint32_t order;    /* among what happened at the same time */
};

/* A thread that left events, or whose slot shows it live. */
struct trace_event_thread {
	uint32_t slot;
	uint32_t tid;
	uint64_t generation;
	const struct trace_thread *seen; /* as its slot shows it, NULL: its slot is another's now */
};

/* All zero is empty. */
struct trace_events {
	struct trace_event *items;
	size_t count;
	struct trace_event_thread *threads;
	size_t thread_count;
	struct arena texts;
};

/* 0 or -ENOMEM; the result is to be freed in any case. */
int trace_events_read(const struct trace_input *input, struct trace_events *out_events);

/* Whether an event is shown as such; of the others something else is made. */
static inline bool trace_event_is_shown(const struct trace_event *event)
{
	switch ((enum cprof_event_kind)event->kind) {
	case CPROF_EVENT_CPU:
	case CPROF_EVENT_FORK:
	case CPROF_EVENT_EXEC:
	case CPROF_EVENT_SIGNAL:
	case CPROF_EVENT_SIGNAL_TAKEN:
	case CPROF_EVENT_LOG:
		return true;
	default:
		return false;
	}
}

/* Forgets the others, once that is made: they are most of a trace. */
void trace_events_keep_shown(struct trace_events *events);

void trace_events_free(struct trace_events *events);

#endif
