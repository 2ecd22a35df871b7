/* SPDX-License-Identifier: MIT */
/*
 * The execution trace as it lies in the segment: events in chunks of one page, each
 * written by one thread.
 *
 * All chunks form one area that threads go round in together.  A thread takes the next
 * chunk that nobody holds, fills it with its events, closes it, and takes another.  So
 * the area always holds the last events of all threads: it is the flight recorder's
 * window.  A thread that rests keeps its chunk, and its last events with it, however
 * old.
 *
 *   state word of a chunk: claim << 2 | flags; claim numbers count from 1, 0: never used
 *
 *   producer (program)                         reader (collector)
 *   ------------------                         ------------------
 *   state: CAS s -> new claim | OPEN    (A)    before = load state                (D)
 *   write header, zero kinds, used = 0         used   = load used                 (F)
 *   write the fields of events[used]           copy header and events
 *   store event.kind                    (B)    kind   = load event.kind           (E)
 *   store used += n, text included      (F)    after  = load state (fenced)
 *   store state without OPEN            (C)    before.claim != after.claim: nothing was read
 *
 *   B pairs with E, and F with F: an event that is not whole has the kind 0, or lies beyond
 *   `used`.  C pairs with D: a chunk that is not OPEN is whole.  A reader that saw the same
 *   claim before and after has read one thread's chunk.
 *
 * A handler may interrupt its thread at any place: when that holds a recording's guard, the
 * handler's events lie in another chunk, which it took.  So a thread may have several chunks
 * open, each the end of a line of chunks (`previous`) in the order of time.
 *
 * While a trace is streamed (CPROF_TRACE_STREAM), a chunk that is closed is marked
 * UNREAD and must not be taken again before the collector has copied it and taken the
 * mark away.  When a thread finds none to take, a gap begins: control.trace_gap_since_ns
 * is set, and every event of every thread is dropped (and counted), until the collector
 * has read everything, and ends the gap.  So what is missing is a span of time, never a
 * single event.  Without CPROF_TRACE_STREAM the mark UNREAD means nothing, and no gap begins.
 *
 * Times are CLOCK_MONOTONIC in nanoseconds.
 *
 * Context: any (async-signal-safe): types and pure functions only.
 */
#ifndef CPROF_TRACE_H
#define CPROF_TRACE_H

#include "cprof_atomic.h"

#include <stdint.h>

/*
 * What happened.  "text" is what follows in TEXT events, the next ones of the same chunk.
 */
enum cprof_event_kind {
	CPROF_EVENT_NONE = 0,
	/* A wait is over: what: enum cprof_wait; flags; a: how long, ns; b: the object; stack. */
	CPROF_EVENT_WAIT = 1,
	/*
	 * Somebody who waits may go on: what: enum cprof_wait of the waits; a: how many may, 0: all
	 * (1 of a read-write lock: a writer); b: the object; stack.  Its time is taken before
	 * anybody can: it lies within their waits.
	 */
	CPROF_EVENT_WAKE = 2,
	/* The chunk's thread starts; a: tid of its creator, 0 if not known; stack: of the creating call. */
	CPROF_EVENT_THREAD_START = 3,
	CPROF_EVENT_THREAD_END = 4, /* b: the thread as its joiner's wait names it, 0: not known */
	/* Has a name from now on: text. */
	CPROF_EVENT_THREAD_NAME = 5,
	/* A sample of CPU time: a: ns; stack. */
	CPROF_EVENT_CPU = 6,
	/* Live heap, estimated: a: change in bytes (two's complement); stack of an allocation, else 0. */
	CPROF_EVENT_HEAP = 7,
	/*
	 * a: pid of the child, 0: not known; text: path of the program that it is or is about to be, if
	 * known; stack.
	 */
	CPROF_EVENT_FORK = 8,
	/* About to exec: text: path; stack. */
	CPROF_EVENT_EXEC = 9,
	/* a: task id, unique in the process; b: id of its parent, 0: none; text: type; stack. */
	CPROF_EVENT_TASK_BEGIN = 10,
	CPROF_EVENT_TASK_END = 11, /* a: task id; stack */
	/* a: task id, 0: none; b: nesting depth on this thread, from 0; text: type; stack. */
	CPROF_EVENT_REGION_BEGIN = 12,
	/* a: task id; b: nesting depth of the region that ends: all deeper ones end with it; stack. */
	CPROF_EVENT_REGION_END = 13,
	/* a: task id, 0: none; b: bytes of the text that are the category; text: category, message; stack. */
	CPROF_EVENT_LOG = 14,
	/* Continuation of the event before it: the text's next CPROF_EVENT_TEXT_BYTES. */
	CPROF_EVENT_TEXT = 15,
	/*
	 * About to send a signal: what: its number; a: to whom, as kill() takes it (two's complement),
	 * or a thread, see the flags; b: pid of the process of a tid, 0: not said; flags; stack.
	 */
	CPROF_EVENT_SIGNAL = 16,
	/*
	 * Has taken a signal that it asked for (sigwait and its like): what: its number; a: pid of who
	 * sent it, 0: not known; b: the thread as pthread_kill names it; stack.  Lies within its wait.
	 */
	CPROF_EVENT_SIGNAL_TAKEN = 17,
	CPROF_EVENT_COUNT
};

/* Flags of a wait. */
#define CPROF_EVENT_GAVE_UP 1u /* a timeout, a signal: it has not what it waited for */

/* Flags of a signal. */
#define CPROF_EVENT_TO_THREAD 1u /* one of this process, by its pthread_t */
#define CPROF_EVENT_TO_TID 2u    /* by its tid */

/*
 * One event.  `head` is stored last, with release order: kind | what << 8 | flags << 16 |
 * more << 24, where `more` is the number of TEXT events that follow and belong to it.
 */
struct cprof_event {
	atomic_u32 head;
	/* In a TEXT event the text begins here; its first `what` bytes count. */
	uint32_t stack; /* id, 0: none */
	uint64_t time_ns;
	uint64_t a;
	uint64_t b;
};
_Static_assert(sizeof(struct cprof_event) == 32, "layout");

#define CPROF_EVENT_TEXT_BYTES 28u
#define CPROF_EVENT_TEXT_OFFSET 4u /* in a TEXT event */
#define CPROF_TRACE_TEXT_MAX 1024u /* of one event; longer ones are cut */

static inline uint32_t cprof_event_head(enum cprof_event_kind kind, uint32_t what, uint32_t flags,
					uint32_t more)
{
	return (uint32_t)kind | (what & 0xffu) << 8 | (flags & 0xffu) << 16 | more << 24;
}
static inline uint32_t cprof_event_kind_of(uint32_t head)
{
	return head & 0xffu;
}
static inline uint32_t cprof_event_what_of(uint32_t head)
{
	return head >> 8 & 0xffu;
}
static inline uint32_t cprof_event_flags_of(uint32_t head)
{
	return head >> 16 & 0xffu;
}
static inline uint32_t cprof_event_more_of(uint32_t head)
{
	return head >> 24;
}

#define CPROF_TRACE_CHUNK_BYTES 4096u
#define CPROF_TRACE_CHUNK_EVENTS 126u

/* Flags of a chunk's state word. */
#define CPROF_CHUNK_OPEN UINT64_C(1)   /* a thread writes to it */
#define CPROF_CHUNK_UNREAD UINT64_C(2) /* closed while a trace was streamed, and not copied yet */
#define CPROF_CHUNK_CLAIM_SHIFT 2

struct cprof_trace_chunk {
	atomic_u64 state;
	uint64_t generation; /* of the thread's slot */
	uint32_t slot;       /* of the thread */
	uint32_t tid;
	atomic_u32 used; /* events that are there, those of text included */
	uint32_t pad;
	/* Claim number of the chunk that the thread filled before it in the same line of events, 0: none. */
	uint64_t previous;
	uint32_t reserved[6];
	struct cprof_event events[CPROF_TRACE_CHUNK_EVENTS];
};
_Static_assert(sizeof(struct cprof_trace_chunk) == CPROF_TRACE_CHUNK_BYTES, "layout");

/* Bits of control.trace: what is traced, and what for. 0: nothing is. */
#define CPROF_TRACE_FLIGHT 1u /* the window is kept */
#define CPROF_TRACE_STREAM 2u /* the collector reads along */

/* Why a window is to be saved: bits of control.flight_reasons. */
#define CPROF_FLIGHT_BY_SIGNAL 1u
#define CPROF_FLIGHT_BY_CALL 2u /* cprof_flight_snapshot() */
#define CPROF_FLIGHT_BY_SLOW 4u /* a region or a task took longer than CPROF_FLIGHT_SLOW allows */

#endif
