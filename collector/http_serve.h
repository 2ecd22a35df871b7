/* SPDX-License-Identifier: MIT */
/*
 * Requests -> answers: what each endpoint shows of which process.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_HTTP_SERVE_H
#define COLLECTOR_HTTP_SERVE_H

#include "client.h"
#include "http_config.h"
#include "http_request.h"
#include "window.h"

struct http_turn {
	const struct http_config *config;
	struct client *clients; /* all of the tree, newest first */
	unsigned watch_count;
	const struct push *push; /* NULL: nothing is sent */
	void (*tick)(void *);
	void *tick_arg;
};

/* A request that watches a process; all zero: none. */
struct http_watch {
	uint32_t client_id;
	char process[sizeof((struct http_reply *)0)->process]; /* as at the begin */
	struct window window;                                  /* of kinds in the segment */
	struct thread_dump threads;                            /* of threads */
	struct trace_watch *trace;                             /* of a trace */
};

/* Frees what it holds.  Accepts a zeroed one. */
void http_watch_fini(struct http_watch *watch);

/* The process that is meant; NULL: out_reply says that there is none. */
struct client *http_serve_target(const struct http_turn *turn, const struct http_request *request,
				 struct http_reply *out_reply);

/* Answers a request that needs no time to pass. */
void http_serve(const struct http_turn *turn, const struct http_request *request, const char *body,
		struct http_reply *out_reply);

/* Begins a request with seconds.  True: out_watch is set; else out_reply is the answer. */
bool http_serve_begin(const struct http_turn *turn, const struct http_request *request,
		      struct http_watch *out_watch, struct http_reply *out_reply);

/* Answers it.  `client`: the one it began with, NULL if that is gone. */
void http_serve_end(const struct http_turn *turn, const struct http_request *request, struct client *client,
		    const struct http_watch *watch, struct http_reply *out_reply);

#endif
