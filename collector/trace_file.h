/* SPDX-License-Identifier: MIT */
/*
 * From chunks to files: what a trace needs besides its chunks, and the two files that
 * are made of it, NAME.PID.trace (Go's form) and NAME.PID.perfetto-trace; numbered ones
 * NAME.PID.N.trace and so on.
 *
 * Context: collector, main thread; `cprof recover`.
 */
#ifndef COLLECTOR_TRACE_FILE_H
#define COLLECTOR_TRACE_FILE_H

#include "trace.h"
#include "writer.h"

#include <sys/types.h>

/* What a struct trace_input borrows; all zero is valid. */
struct trace_surroundings {
	struct trace_thread *threads;
	struct perf_map *jit;
};

/*
 * Fills everything of an input but chunks, gaps and span.  To be called after the chunks
 * were copied: stacks and modules that they refer to are there then.  `visible_pid`: see
 * trace_reader_threads().  0 or -errno; on success the surroundings are to be freed.
 */
int trace_file_surround(struct writer *writer, const struct writer_moment *moment, pid_t visible_pid,
			struct trace_surroundings *out_surroundings, struct trace_input *out_input);
void trace_surroundings_free(struct trace_surroundings *surroundings);

/* Where an image's traces are, by enum trace_format; "": there is none. */
struct trace_files {
	uint32_t number; /* N, 0: not numbered */
	char names[TRACE_FORMAT_COUNT][OUTPUT_NAME_MAX];
};

/* A trace in one form, to be freed; NULL: it could not be made. */
struct trace_bytes {
	void *bytes;
	size_t size;
	int error; /* why not */
};

/*
 * Encodes an input and writes both files under one number and instance; those that are in
 * *files already are replaced.  0, or the first -errno (said so): one that fails does not
 * keep the other from being written.
 */
int trace_file_write(struct writer *writer, const struct trace_input *input, struct trace_files *files);

/* The two halves of that, for who wants to give something up in between.  `put` frees the bytes. */
void trace_file_encode(const struct trace_input *input, struct trace_bytes out_forms[TRACE_FORMAT_COUNT]);
int trace_file_put(struct writer *writer, struct trace_bytes forms[TRACE_FORMAT_COUNT],
		   struct trace_files *files);

/* The unnumbered files that a former collector has written of this image. */
void trace_file_find_written(const struct writer *writer, struct trace_files *out_files);

/* The number of the next snapshot's files, which is kept once they are there. */
uint32_t trace_file_next_number(const struct writer *writer);

#endif
