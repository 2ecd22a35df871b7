/* SPDX-License-Identifier: MIT */
/*
 * Threads over HTTP: where they are now, one by one or equal ones together, and how that
 * differs from some seconds ago.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_HTTP_THREADS_H
#define COLLECTOR_HTTP_THREADS_H

#include "http_serve.h"

/*
 * The difference of two dumps of a process, as a profile: who is somewhere is counted
 * there, who was, is taken off.  Equal stacks are left to the encoder to add up.
 */
struct http_threads_difference {
	struct profile profile;
	struct profile_module *modules;
	struct profile_sample *samples;
	uint64_t *frames; /* of the former dump, in terms of the later one's modules */
};

/* 0 or -ENOMEM.  The dumps are borrowed as long as the difference is used. */
int http_threads_subtract(const struct thread_dump *before, const struct thread_dump *now,
			  struct http_threads_difference *out_difference);
void http_threads_difference_fini(struct http_threads_difference *difference);

#endif
