/* SPDX-License-Identifier: MIT */
/*
 * The trace of a span of time, as Go's net/http/pprof serves it, and the flight recorder's
 * window.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_HTTP_TRACE_H
#define COLLECTOR_HTTP_TRACE_H

#include "client.h"
#include "http_request.h"

/* Begins a span.  True: *out_watch is set; else out_reply is the answer. */
bool http_trace_begin(struct client *client, struct trace_watch **out_watch, struct http_reply *out_reply);

/* Ends it and answers.  May take long, see client_answer(). */
void http_trace_end(struct client *client, const struct http_request *request, void (*tick)(void *),
		    void *tick_arg, struct http_reply *out_reply);

/* Answers with the window that ends now. */
void http_trace_serve_flight(struct client *client, const struct http_request *request, void (*tick)(void *),
			     void *tick_arg, struct http_reply *out_reply);

#endif
