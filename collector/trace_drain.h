/* SPDX-License-Identifier: MIT */
/*
 * The copying half of a trace that is read along: chunks that threads have closed go from
 * the segment to the spool, and the gap in which nothing was recorded, if there was one.
 *
 * Context: collector, main thread; for trace_stream.c alone.
 */
#ifndef COLLECTOR_TRACE_DRAIN_H
#define COLLECTOR_TRACE_DRAIN_H

#include "trace_stream.h"

/* Copies what is closed, and ends a gap.  Returns how full of unread chunks the area was, in thousandths. */
unsigned trace_drain(struct trace_stream *stream, struct writer *writer);

/* Copies what is open, where it has grown. */
void trace_drain_open(struct trace_stream *stream, struct writer *writer);

/* Nothing more can be written, for this reason; whatever comes now is in a gap without end. */
void trace_drain_cut(struct trace_stream *stream, struct writer *writer, const char *why);

static inline bool trace_drain_is_cut(const struct trace_stream *stream)
{
	return stream->spool.note.cut_ns != 0;
}

/* The program may have the chunk again. */
void trace_drain_unmark(struct cprof_trace_chunk *chunk);

#endif
