/* SPDX-License-Identifier: MIT */
/*
 * A thread dump for people, in the form of Go's goroutine?debug=2: a paragraph for
 * each thread with its state, its frames and who created it.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_THREAD_TEXT_H
#define COLLECTOR_THREAD_TEXT_H

#include "perf_map.h"
#include "thread_waits.h"

/* What is rendered.  Everything is borrowed. */
struct thread_text_source {
	const char *name; /* of the process */
	uint32_t pid;     /* as it sees itself */
	int64_t time_ns;
	uint64_t monotonic_ns; /* the same moment */
	const struct thread_readings *readings;
	const struct thread_wait *waits;
	uint32_t circle_count;
	const struct dump_modules *modules;
	const struct perf_map *jit;          /* NULL: none */
	const struct segment_reader *reader; /* the stacks that created_by refers to; NULL: none */
	const struct module_rows *rows;      /* and their modules */
	const char *const *comments;
	size_t comment_count;
};

/* Renders it.  0 or -ENOMEM; the caller frees *out_text. */
int thread_text_render(const struct thread_text_source *source, void (*tick)(void *), void *tick_arg,
		       char **out_text, size_t *out_bytes);

/* Words for states, means and ends of stacks, also used as labels; never NULL. */
const char *thread_text_state(const struct thread_reading *reading);
const char *thread_text_how(enum thread_how how);

/* What a thread waits for, "" if nothing or not known. */
#define THREAD_TEXT_WAIT_BYTES 96
void thread_text_wait(const struct thread_reading *reading, const struct thread_wait *wait,
		      char out_text[THREAD_TEXT_WAIT_BYTES]);

/* Why a thread has no stack; `error` as in struct thread_reading. */
const char *thread_text_error(int error);

#endif
