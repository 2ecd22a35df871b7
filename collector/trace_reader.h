/* SPDX-License-Identifier: MIT */
/*
 * The trace's chunks and threads, copied out of a segment whose program runs, dies
 * meanwhile, or is dead.  Copies keep the reader's side of the protocol in
 * cprof_trace.h; pages that were never written are not touched.
 *
 * Context: collector, main thread; `cprof recover`.
 */
#ifndef COLLECTOR_TRACE_READER_H
#define COLLECTOR_TRACE_READER_H

#include "segment_reader.h"
#include "trace.h"

#include <sys/types.h>

/* Everything is private; what threads wrote is as hostile as before. */
struct trace_reading {
	struct cprof_trace_chunk *chunks; /* in the order of the area */
	size_t chunk_count;
};

/* How many chunks there may be. */
uint32_t trace_reader_chunk_count(const struct segment_reader *reader);

/* A chunk of the area, to be touched only where segment_reader_next_data() finds data. */
struct cprof_trace_chunk *trace_reader_chunk(const struct segment_reader *reader, uint32_t index);

/* The chunk at or after `from` and below `end` that lies in data; false: there is none. */
bool trace_reader_next_run(const struct segment_reader *reader, uint32_t from, uint32_t end,
			   uint32_t *out_first, uint32_t *out_end);

/*
 * Copies one chunk: `used` is at most CPROF_TRACE_CHUNK_EVENTS, and an event that is not
 * there has kind NONE.  False: it was never used, or another thread took it meanwhile.
 */
bool trace_reader_copy_chunk(const struct cprof_trace_chunk *chunk, struct cprof_trace_chunk *out_copy);

/* Copies all chunks.  0 or -ENOMEM. */
int trace_reader_take(const struct segment_reader *reader, struct trace_reading *out_reading);
void trace_reading_free(struct trace_reading *reading);

/*
 * From when on nothing is missing of what the threads with chunks recorded until `until_ns`:
 * what they wrote before has been written over.  0: all is there.
 */
uint64_t trace_reading_complete_from(const struct trace_reading *reading, uint64_t until_ns);

/* The time of the last event that is not after `limit_ns`; 0: there is none. */
uint64_t trace_reading_last_event(const struct trace_reading *reading, uint64_t limit_ns);

/*
 * The threads that have or had a slot, to be freed by the caller.  `visible_pid`: of the
 * process, if its threads can be asked for their names; else 0.  0 or -ENOMEM.
 */
int trace_reader_threads(const struct segment_reader *reader, pid_t visible_pid,
			 struct trace_thread **out_threads, size_t *out_count);

#endif
