/* SPDX-License-Identifier: MIT */
/*
 * A trace that is read along: of a whole run (CPROF_TRACE=full), or of a span of time that
 * somebody asks for over HTTP, or both.  Chunks that threads have closed are copied to a
 * spool at every tick; at the end those that are still open go along.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_TRACE_STREAM_H
#define COLLECTOR_TRACE_STREAM_H

#include "trace_parts.h"
#include "trace_spool.h"
#include "trace_tables.h"

/*
 * A span of time within a stream.  Shared by the stream and by who asked for it: who lets
 * go of it last frees it.
 */
struct trace_watch {
	uint64_t from_ns;
	uint32_t first_page; /* of the spool */
	bool is_left;        /* by who asked */
	bool is_ended;       /* by the stream */
};

/* Lets go of a span; one that is not ended will be at the next tick.  Accepts NULL. */
void trace_watch_leave(struct trace_watch *watch);

/* Of one image; all zero: nothing is streamed.  Fields are its own, but for the counts. */
struct trace_stream {
	struct trace_spool spool;
	struct trace_tables tables; /* in the spool, if it has a name */
	bool is_whole;              /* from the process's start to its end */
	bool is_refused;            /* it could not be, and that was said */
	struct trace_watch *watch;  /* of a request */
	uint64_t lost;              /* events in gaps that have been ended */
	uint64_t gap_count;         /* such gaps */
	uint64_t *fills;            /* of open chunks when they were copied, by place; NULL: none was */
	uint64_t claims;            /* the program's counter when chunks were last looked at */
	uint64_t written_mark;      /* what there was when the files were written */
	uint32_t part_pages;        /* so many make a part */
	struct trace_parts parts;
	struct trace_files files;
};

/*
 * Copies what is ready, ends a gap, and begins or ends the stream where that is due.
 * Returns how full of unread chunks the area was, in thousandths.
 */
unsigned trace_stream_tick(struct trace_stream *stream, struct writer *writer);

/* Copies what threads have not closed yet, for the case that nobody is left to do it: to be called now and then. */
void trace_stream_save_open(struct trace_stream *stream, struct writer *writer);

/* Writes the files of the whole run so far, if there is anything new.  0 or -errno (said so). */
int trace_stream_write(struct trace_stream *stream, struct writer *writer, const struct writer_moment *moment,
		       pid_t visible_pid);

/*
 * Whether the spool has become so large that its trace is to be made now, and making it: by
 * a child, as a numbered part.  The stream goes on with an empty spool.
 */
bool trace_stream_has_part(struct trace_stream *stream);
void trace_stream_write_part(struct trace_stream *stream, struct writer *writer,
			     const struct writer_moment *moment, pid_t visible_pid);

/* Begins a span, one at a time: 0, -EBUSY, or why nothing can be streamed. */
int trace_stream_watch(struct trace_stream *stream, struct writer *writer, struct trace_watch **out_watch);

/* Ends it, and makes one form of it, to be freed by the caller.  0 or -errno. */
int trace_stream_end_watch(struct trace_stream *stream, struct writer *writer,
			   const struct writer_moment *moment, pid_t visible_pid, enum trace_format format,
			   void **out_bytes, size_t *out_size);

/* Lets go of everything.  A spool whose trace could not be written stays, and is named in a line. */
void trace_stream_close(struct trace_stream *stream, struct writer *writer);

#endif
