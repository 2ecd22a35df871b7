/* SPDX-License-Identifier: MIT */
/*
 * Method and URI -> what is asked for, by the rules of Go's net/http/pprof and of the
 * ServeMux in front of it: the same defaults, the same errors.
 *
 * Context: collector, main thread; pure functions.
 */
#ifndef COLLECTOR_HTTP_REQUEST_H
#define COLLECTOR_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http_reply.h"
#include "profile.h"
#include "trace.h"

#define HTTP_SECONDS_DEFAULT 30
#define HTTP_TRACE_SECONDS_DEFAULT 1
/* Nobody watches longer by one request. */
#define HTTP_SECONDS_MAX 3600

#define HTTP_PROCESS_BYTES 64

enum http_endpoint {
	HTTP_ENDPOINT_INDEX,
	HTTP_ENDPOINT_PROFILE, /* any kind */
	HTTP_ENDPOINT_TRACE,   /* of a span of time */
	HTTP_ENDPOINT_FLIGHT,  /* the flight recorder's window */
	HTTP_ENDPOINT_CMDLINE,
	HTTP_ENDPOINT_SYMBOL,
	HTTP_ENDPOINT_METRICS,
	HTTP_ENDPOINT_HEALTH
};

struct http_request {
	enum http_endpoint endpoint;
	enum profile_kind kind;   /* of PROFILE */
	enum trace_format format; /* of TRACE and FLIGHT */
	const char *name;         /* as it was asked for, such as "allocs"; a constant */
	const char *query;        /* behind the '?', or ""; borrowed from the URI */
	bool is_post;
	unsigned span_ms;                 /* seconds=; 0: what there is now */
	bool is_text;                     /* debug= anything but 0 */
	bool is_dump;                     /* debug=2 or more: threads one by one */
	uint32_t pid;                     /* of the process that is meant; 0: the first */
	bool is_of_all;                   /* metrics: of each process */
	char process[HTTP_PROCESS_BYTES]; /* the name of the one that is meant, "" if none was given */
};

/* Judges a request.  True: out_request is set; else out_reply is the answer. */
bool http_request_read(const char *method, const char *uri, struct http_request *out_request,
		       struct http_reply *out_reply);

/* How pprof names a profile and what it is, for the index: all endpoints, by name; the last has no name. */
struct http_profile_name {
	const char *name;
	enum profile_kind kind;
	bool is_timed; /* always of a span of time: CPU */
	const char *description;
};
extern const struct http_profile_name http_profile_names[];

/* Reads an address as Go's ParseUint(s, 0, 64) does: 0x..., 0..., or decimal; 0 if it is none. */
uint64_t http_request_read_address(const char *text, size_t length);

#endif
