/* SPDX-License-Identifier: MIT */
/*
 * Numbered files of a process that runs on: NAME.PID.KIND.N.pb.gz.  Kinds that are
 * asked for together are taken at one moment and bear one number.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_SNAPSHOT_H
#define COLLECTOR_SNAPSHOT_H

#include "writer.h"

/* What is asked for.  Everything is borrowed. */
struct snapshot_request {
	unsigned kinds; /* bits 1u << enum profile_kind */
	/* For PROFILE_THREADS, see writer_encode_threads(); NULL: there is no picture of them. */
	const struct profile *threads;
	const char *threads_text; /* goes to NAME.PID.threads.N.txt; NULL: no such file */
	size_t threads_text_bytes;
};

struct snapshot_file {
	char name[OUTPUT_NAME_MAX]; /* in the writer's directory; "": not asked for, or not there */
	int error;                  /* why not, 0 or -errno; -ENOTSUP: this kind is not profiled */
};

/* What there is now. */
struct snapshot {
	uint32_t number; /* N */
	struct snapshot_file files[PROFILE_KIND_COUNT];
	struct snapshot_file threads_text;
};

/*
 * Drains, encodes and writes what is asked for.  Returns 0 if all of it is there; else
 * the first -errno (said so, except for -ENOTSUP).  *out_snapshot is filled in any
 * case: one kind's failure does not keep the others from being written.
 */
int snapshot_write(struct writer *writer, const struct writer_moment *moment,
		   const struct snapshot_request *request, struct snapshot *out_snapshot);

/* A heap snapshot, as the program asks for by its signal.  0 or -errno (said so). */
int snapshot_write_heap(struct writer *writer, const struct writer_moment *moment);

#endif
