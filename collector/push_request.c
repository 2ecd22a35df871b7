/* SPDX-License-Identifier: MIT */
/*
 * The form is what Pyroscope's own Go client sends.  Without the part that describes the
 * values the server takes every block profile for a mutex profile: both have
 * contentions and delay.
 *
 * Context: collector, main thread; see push_request.h.
 */
#include "push_request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "text_buffer.h"

/* What Pyroscope calls the values of each kind. */
static const struct {
	const char *units; /* of the query; the values' own are in the profile */
	const char *types;
} forms[PROFILE_KIND_COUNT] = {
	[PROFILE_CPU] = {"samples",
			 "{\"samples\":{\"units\":\"samples\",\"display-name\":\"cpu\",\"sampled\":true},"
			 "\"cpu\":{\"units\":\"nanoseconds\",\"sampled\":true}}"},
	[PROFILE_HEAP] = {"bytes",
			  "{\"alloc_objects\":{\"units\":\"objects\"},\"alloc_space\":{\"units\":\"bytes\"},"
			  "\"inuse_objects\":{\"units\":\"objects\",\"aggregation\":\"average\"},"
			  "\"inuse_space\":{\"units\":\"bytes\",\"aggregation\":\"average\"}}"},
	[PROFILE_BLOCK] = {"lock_nanoseconds",
			   "{\"contentions\":{\"units\":\"lock_samples\",\"display-name\":\"block_count\"},"
			   "\"delay\":{\"units\":\"lock_nanoseconds\",\"display-name\":\"block_duration\"}}"},
	[PROFILE_MUTEX] = {"lock_nanoseconds",
			   "{\"contentions\":{\"units\":\"lock_samples\",\"display-name\":\"mutex_count\"},"
			   "\"delay\":{\"units\":\"lock_nanoseconds\",\"display-name\":\"mutex_duration\"}}"},
};

bool push_request_is_for(enum profile_kind kind)
{
	return kind < PROFILE_KIND_COUNT && forms[kind].types;
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_' || c == '.';
}

static void add_escaped(struct text_buffer *url, const char *text)
{
	for (; *text; text++)
		if (is_unreserved(*text))
			text_buffer_add(url, text, 1);
		else
			text_buffer_format(url, "%%%02X", (unsigned char)*text);
}

/* The application's name: the service, or the program's, with what Pyroscope does not take replaced. */
static void add_service(struct text_buffer *url, const struct push_config *config, const char *program)
{
	const char *name = config->service[0] ? config->service : program;
	for (; *name; name++)
		if (is_unreserved(*name))
			text_buffer_add(url, name, 1);
		else
			text_buffer_string(url, *name == '/' ? "%2F" : "_");
}

static char *make_url(const struct push_config *config, const struct push_profile *profile)
{
	struct text_buffer url = {0};
	text_buffer_format(&url, "%s?name=", config->url);
	add_service(&url, config, profile->name);
	add_escaped(&url, "{");
	add_escaped(&url, config->labels);
	add_escaped(&url, "}");
	text_buffer_format(&url, "&from=%" PRId64 "&until=%" PRId64 "&spyName=cprof&units=%s",
			   profile->begin_ns, profile->end_ns, forms[profile->kind].units);
	if (profile->kind == PROFILE_CPU && profile->cpu_hz)
		text_buffer_format(&url, "&sampleRate=%u", profile->cpu_hz);
	return text_buffer_take(&url);
}

static void add_part(struct text_buffer *body, const char *boundary, const char *name, const char *file,
		     const char *type, const void *bytes, size_t size)
{
	text_buffer_format(body,
			   "--%s\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"%s\"\r\n"
			   "Content-Type: %s\r\n\r\n",
			   boundary, name, file, type);
	text_buffer_add(body, bytes, size);
	text_buffer_string(body, "\r\n");
}

int push_request_make(const struct push_config *config, const struct push_profile *profile,
		      struct push_request *out_request)
{
	struct text_buffer content_type = {0};
	struct text_buffer body = {0};
	uint64_t random[2] = {0};
	char boundary[48];
	/* Random, so that the profile does not hold it. */
	if (getrandom(random, sizeof random, GRND_NONBLOCK) != sizeof random)
		random[0] = (uint64_t)profile->end_ns;
	snprintf(boundary, sizeof boundary, "cprof-%016" PRIx64 "%016" PRIx64, random[0], random[1]);
	const char *types = forms[profile->kind].types;
	add_part(&body, boundary, "profile", "profile.pprof", "application/octet-stream", profile->bytes,
		 profile->size);
	add_part(&body, boundary, "sample_type_config", "sample_type_config.json", "application/json", types,
		 strlen(types));
	text_buffer_format(&body, "--%s--\r\n", boundary);
	text_buffer_format(&content_type, "Content-Type: multipart/form-data; boundary=%s", boundary);
	struct push_request request = {.url = make_url(config, profile),
				       .content_type = text_buffer_take(&content_type),
				       .body_bytes = body.size};
	request.body = (unsigned char *)text_buffer_take(&body);
	if (!request.url || !request.content_type || !request.body) {
		push_request_fini(&request);
		return -ENOMEM;
	}
	*out_request = request;
	return 0;
}

void push_request_fini(struct push_request *request)
{
	free(request->url);
	free(request->content_type);
	free(request->body);
	*request = (struct push_request){0};
}
