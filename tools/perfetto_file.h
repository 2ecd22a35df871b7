/* SPDX-License-Identifier: MIT */
/*
 * A Perfetto trace that cprof wrote, read back: threads, and slices of waits, regions and
 * tasks.  The file may hold anything.
 *
 * Context: command line.
 */
#ifndef TOOLS_PERFETTO_FILE_H
#define TOOLS_PERFETTO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"

#define PERFETTO_NONE UINT32_MAX

enum perfetto_slice_kind { PERFETTO_WAIT, PERFETTO_REGION, PERFETTO_TASK, PERFETTO_GAP, PERFETTO_KINDS };

struct perfetto_thread_info {
	uint32_t tid;
	const char *name; /* "": not known */
	uint64_t begin_ns;
	uint64_t end_ns; /* of the trace, if it had not ended */
};

struct perfetto_slice {
	uint64_t begin_ns;
	uint64_t end_ns;
	uint64_t before_ns; /* how long before the trace it began */
	uint64_t object;    /* of a wait; of a gap: how many events, or threads, are missing */
	const char *name;
	uint32_t kind;   /* enum perfetto_slice_kind */
	uint32_t thread; /* PERFETTO_NONE: of none */
	uint32_t waker;  /* thread that ended the wait; PERFETTO_NONE: not known */
	uint32_t stack;  /* into stacks; PERFETTO_NONE: none */
	uint32_t outer;  /* slice around it; PERFETTO_NONE: none */
	bool is_address; /* the object: to be shown as one */
	bool is_open;    /* not over when the trace ended, or one end is not known */
};

struct perfetto_code {
	const char *function;
	const char *file; /* NULL: not known */
	uint32_t line;
};

struct perfetto_callstack {
	const uint32_t *frames; /* into frames, the outermost first */
	size_t count;
};

struct perfetto_file {
	uint64_t pid;
	const char *process_name;
	uint64_t begin_ns;
	uint64_t end_ns;
	struct perfetto_thread_info *threads;
	size_t thread_count;
	struct perfetto_slice *slices;
	size_t slice_count;
	struct perfetto_code *frames;
	size_t frame_count;
	struct perfetto_callstack *stacks;
	size_t stack_count;
	struct arena arena; /* of all texts */
};

/*
 * Reads it.  NULL, or what is wrong with the file, as the rest of "FILE: ..."; the result
 * is to be freed in any case.
 */
const char *perfetto_file_read(const unsigned char *bytes, size_t size, struct perfetto_file *out_file);
void perfetto_file_free(struct perfetto_file *file);

#endif
