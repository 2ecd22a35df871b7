/* SPDX-License-Identifier: MIT */
/*
 * Threads that trace into a fake segment, by the producer's side of cprof_trace.h.
 *
 * Context: tests.
 */
#ifndef TESTS_SUPPORT_FAKE_TRACER_H
#define TESTS_SUPPORT_FAKE_TRACER_H

#include "fake_segment.h"

struct fake_tracer {
	struct fake_segment *fake;
	uint32_t slot;
	uint32_t tid;
	uint32_t chunk; /* index + 1, 0: none */
};

/* Turns tracing on, with so many chunks. */
void fake_tracer_on(struct fake_segment *fake, uint32_t chunk_count, uint32_t bits);

/* A new thread, in a slot of its own. */
struct fake_tracer fake_tracer_begin(struct fake_segment *fake, uint32_t tid);

/* Records an event.  False: it was dropped. */
bool fake_tracer_event(struct fake_tracer *tracer, uint32_t kind, uint64_t time_ns, uint64_t a, uint64_t b);

/* So many events of kind CPU, one a nanosecond from time_ns on; a counts them from 0.  How many were kept. */
uint32_t fake_tracer_events(struct fake_tracer *tracer, uint32_t count, uint64_t time_ns);

/* The thread ends: its chunk is closed. */
void fake_tracer_end(struct fake_tracer *tracer);

struct cprof_trace_chunk *fake_chunk(const struct fake_segment *fake, uint32_t index);

#endif
