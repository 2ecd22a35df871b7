/* SPDX-License-Identifier: MIT */
/*
 * The execution trace between its two halves: who gets the events out of a segment
 * (trace_reader, trace_flight, trace_stream) and who makes files of them (trace_model,
 * trace_perfetto, trace_go).  What lies between is a set of chunks, copied, and the
 * tables that their ids refer to.
 *
 * Context: collector, main thread; `cprof recover`.
 */
#ifndef COLLECTOR_TRACE_H
#define COLLECTOR_TRACE_H

#include "cprof_shm.h"
#include "profile.h"

#include <stdbool.h>
#include <stddef.h>

struct segment_reader;

enum trace_format {
	TRACE_PERFETTO, /* NAME.PID.perfetto-trace */
	TRACE_GO,       /* NAME.PID.trace: "go 1.19 trace" */
	TRACE_FORMAT_COUNT
};

/* A span in which every event was dropped. */
struct trace_gap {
	uint64_t from_ns;
	uint64_t until_ns;
	uint64_t events; /* how many were */
};

/* A thread as its slot shows it at the moment of the copy. */
struct trace_thread {
	uint32_t slot;
	uint32_t tid;
	uint64_t generation;
	bool is_live;
	char name[16];       /* "": not known */
	uint32_t created_by; /* stack id, 0: not known */
	/* The wait it is in; what: CPROF_WAIT_NONE: none that is known. */
	uint32_t what;
	uint32_t stack; /* 0: not known */
	uint64_t object;
	uint64_t since_ns;
};

/* What a trace is made of.  Everything is borrowed and may be hostile: whoever reads it validates. */
struct trace_input {
	const struct cprof_trace_chunk *chunks; /* private copies, in any order */
	size_t chunk_count;
	const struct trace_thread *threads;
	size_t thread_count;
	const struct trace_gap *gaps; /* in the order of time */
	size_t gap_count;
	uint64_t from_ns; /* CLOCK_MONOTONIC: what ended before, or began after, is not shown */
	uint64_t until_ns;
	int64_t realtime_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC */
	uint32_t pid;
	const char *process_name;
	uint64_t live_heap_bytes;            /* estimate at until_ns */
	uint64_t missing_threads;            /* of which nothing is recorded, since the process began */
	const struct segment_reader *reader; /* for the stacks' frames */
	const struct profile_module *modules;
	size_t module_count;
	const struct perf_map *jit;
};

/* Takes a trace's bytes, one piece after the other.  0, or -errno: then no more come. */
struct trace_sink {
	int (*put)(void *context, const void *bytes, size_t size);
	void *context;
};

/* Makes a trace of what is known of one.  0 or -errno, the sink's included. */
struct trace_model;
int trace_encode_model(const struct trace_model *model, enum trace_format format,
		       const struct trace_sink *sink);

/* The same as bytes, to be freed by the caller. */
int trace_encode_bytes(const struct trace_model *model, enum trace_format format, void **out_bytes,
		       size_t *out_byte_count);

/* The same of an input. */
int trace_encode(const struct trace_input *input, enum trace_format format, void **out_bytes,
		 size_t *out_byte_count);

#endif
