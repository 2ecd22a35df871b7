/* SPDX-License-Identifier: MIT */
/*
 * A process has one trace of a span at a time, as in Go: who comes second is told so, in
 * Go's words.
 *
 * Context: see http_trace.h.
 */
#include "http_trace.h"

#include <errno.h>
#include <stdio.h>

#include "log.h"

static void reply_trace(const struct http_request *request, void *bytes, size_t size,
			struct http_reply *out_reply)
{
	http_reply_body(out_reply, HTTP_BYTES, bytes, size);
	if (out_reply->status == 200)
		snprintf(out_reply->file_name, sizeof out_reply->file_name, "%s",
			 request->format == TRACE_PERFETTO ? "perfetto-trace" : "trace");
}

bool http_trace_begin(struct client *client, struct trace_watch **out_watch, struct http_reply *out_reply)
{
	int error = client_watch_trace(client, out_watch);
	if (error)
		http_reply_pprof_error(out_reply, 500, "Could not enable tracing: %s",
				       error == -EBUSY     ? "execution tracer already enabled"
				       : error == -ENOTSUP ? "the program has no room for it (CPROF_MEM)"
							   : log_error_text(-error));
	return !error;
}

void http_trace_end(struct client *client, const struct http_request *request, void (*tick)(void *),
		    void *tick_arg, struct http_reply *out_reply)
{
	void *bytes = NULL;
	size_t size = 0;
	int error = client_end_trace_watch(client, tick, tick_arg, request->format, &bytes, &size);
	if (error)
		http_reply_pprof_error(out_reply, 500, "Could not make the trace: %s",
				       log_error_text(-error));
	else
		reply_trace(request, bytes, size, out_reply);
}

void http_trace_serve_flight(struct client *client, const struct http_request *request, void (*tick)(void *),
			     void *tick_arg, struct http_reply *out_reply)
{
	void *bytes = NULL;
	size_t size = 0;
	int error = client_encode_flight(client, tick, tick_arg, request->format, &bytes, &size);
	if (error == -ENOTSUP)
		http_reply_pprof_error(out_reply, 500,
				       "cannot snapshot a disabled flight recorder "
				       "(CPROF_TRACE=flight turns it on)");
	else if (error)
		http_reply_pprof_error(out_reply, 500, "Could not make the trace: %s",
				       log_error_text(-error));
	else
		reply_trace(request, bytes, size, out_reply);
}
