/* SPDX-License-Identifier: MIT */
/*
 * One profile as Pyroscope's ingest API takes it: a POST whose query says whose profile
 * it is, and whose body is a form with the profile and with what its values are.
 *
 * Context: collector, main thread; pure functions.
 */
#ifndef COLLECTOR_PUSH_REQUEST_H
#define COLLECTOR_PUSH_REQUEST_H

#include "profile.h"
#include "push_config.h"

/* What is sent. */
struct push_profile {
	enum profile_kind kind;
	const char *name; /* of the program */
	int64_t begin_ns; /* since 1970 */
	int64_t end_ns;
	uint32_t cpu_hz;            /* of the CPU profile */
	const unsigned char *bytes; /* gzipped pprof */
	size_t size;
};

struct push_request {
	char *url;
	char *content_type; /* the header's whole line */
	unsigned char *body;
	size_t body_bytes;
};

/* Whether the server has a place for this kind. */
bool push_request_is_for(enum profile_kind kind);

/* 0, or -ENOMEM.  To be given to push_request_fini(). */
int push_request_make(const struct push_config *config, const struct push_profile *profile,
		      struct push_request *out_request);
void push_request_fini(struct push_request *request);

#endif
