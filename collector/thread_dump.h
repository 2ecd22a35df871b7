/* SPDX-License-Identifier: MIT */
/*
 * A dump of all threads of a process: where each is, what it waits for, and how that
 * was found out.  The process is not disturbed: no call of it ends early, nothing of
 * it changes.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_THREAD_DUMP_H
#define COLLECTOR_THREAD_DUMP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "module_rows.h"
#include "profile.h"
#include "segment_reader.h"

/* Whose threads.  Everything is borrowed. */
struct thread_dump_source {
	pid_t peer_pid;                      /* as we see it; 0: it cannot be seen from here */
	uint32_t pid;                        /* as it sees itself */
	const char *name;                    /* for the text's first line */
	int root_fd;                         /* O_PATH of its root directory, or -1 */
	const struct segment_reader *reader; /* published waits, who created whom; NULL: none */
	const struct module_rows *rows;      /* what the stacks in the segment refer to; NULL: none */
};

/*
 * The result, for a struct profile of kind PROFILE_THREADS and for people.  One sample
 * for each thread, also for those without a stack; frames refer to the dump's own
 * modules.  The comments say what could not be read, and why; they have a leading '#'
 * if nothing is missing.
 */
struct thread_dump {
	struct profile_module *modules; /* sorted by id */
	size_t module_count;
	struct perf_map *jit; /* names of code made at run time, NULL if there are none */
	struct profile_sample *samples;
	size_t sample_count;
	const char **comments;
	size_t comment_count;
	int64_t time_ns; /* wall clock */
	char *text;      /* like Go's goroutine?debug=2, NUL-terminated */
	size_t text_bytes;
	struct thread_dump_memory *memory; /* behind all of it */
};

/*
 * Takes a dump.  tick(tick_arg), if not NULL, is called between threads; it must not
 * touch images or `source`.  Takes about 0.1 ms a thread and at most some seconds: what
 * is not reached by then is listed without a stack, and the comments say so.
 *
 * 0: out_dump is to be freed; it may be without stacks if the system forbids to read
 * them, and says so.  -ESRCH: the process is gone or cannot be seen from here; -ENOMEM.
 * Then out_dump is untouched.
 */
int thread_dump_take(const struct thread_dump_source *source, void (*tick)(void *), void *tick_arg,
		     struct thread_dump *out_dump);

/* A dump as a profile that borrows from it. */
struct profile thread_dump_profile(const struct thread_dump *dump);

/* Accepts a zeroed dump. */
void thread_dump_free(struct thread_dump *dump);

#endif
