/* SPDX-License-Identifier: MIT */
/*
 * The URI is taken apart once, into buffers of fixed size: what does not fit matches
 * no endpoint and no parameter.
 *
 * Context: see http_request.h.
 */
#include "http_request.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "/debug/pprof/"
#define PATH_BYTES 256
#define VALUE_BYTES HTTP_PROCESS_BYTES

const struct http_profile_name http_profile_names[] = {
	{"allocs", PROFILE_HEAP, false, "A sampling of all past memory allocations"},
	{"block", PROFILE_BLOCK, false, "Stack traces that led to blocking on synchronization primitives"},
	{"goroutine", PROFILE_THREADS, false, "The same as threads, under the name that Go's tools ask for"},
	{"heap", PROFILE_HEAP, false, "A sampling of the memory allocations that have not been freed"},
	{"mutex", PROFILE_MUTEX, false, "Stack traces of holders of contended mutexes"},
	{"profile", PROFILE_CPU, true,
	 "CPU profile of the next 30 seconds, or of as many as the GET parameter seconds says"},
	{"threadcreate", PROFILE_THREADCREATE, false, "Stack traces that led to the creation of threads"},
	{"threads", PROFILE_THREADS, false,
	 "Stack traces of all threads; debug=2 shows them one by one, with what each waits for"},
	{NULL, PROFILE_CPU, false, NULL},
};

/* ---- characters ------------------------------------------------------------------------------ */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes percent-encoding.  False: malformed, too long, or a NUL in it. */
static bool unescape(const char *text, size_t length, bool plus_is_space, char *out, size_t size)
{
	size_t used = 0;
	for (size_t i = 0; i < length; i++) {
		char c = text[i];
		if (c == '%') {
			int high = i + 2 < length ? hex_digit(text[i + 1]) : -1;
			int low = i + 2 < length ? hex_digit(text[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (c == '\0' || used + 1 >= size)
			return false;
		out[used++] = c;
	}
	out[used] = '\0';
	return true;
}

/* ---- parameters ------------------------------------------------------------------------------ */

/* The first value of a parameter in the query.  False: there is none. */
static bool find_value(const char *query, const char *name, char out_value[VALUE_BYTES])
{
	while (*query) {
		char key[VALUE_BYTES];
		size_t length = strcspn(query, "&");
		const char *equals = memchr(query, '=', length);
		size_t key_length = equals ? (size_t)(equals - query) : length;
		/* Like Go: a pair with a semicolon or a bad escape is none. */
		bool is_pair = length && !memchr(query, ';', length) &&
			       unescape(query, key_length, true, key, sizeof key);
		if (is_pair && strcmp(key, name) == 0) {
			size_t used = key_length + (equals != NULL);
			if (unescape(query + used, length - used, true, out_value, VALUE_BYTES))
				return true;
		}
		query += length + (query[length] == '&');
	}
	return false;
}

/*
 * As Go's strconv.Atoi(): a number that is too large gives the largest, with an error;
 * what is no number gives 0, with an error.
 */
static bool read_integer(const char *text, long *out_number)
{
	char *end;
	const char *digits = text + (*text == '-' || *text == '+');
	*out_number = 0;
	if (*digits < '0' || *digits > '9')
		return false;
	errno = 0;
	long number = strtol(text, &end, 10);
	if (*end)
		return false;
	*out_number = number;
	return errno == 0;
}

uint64_t http_request_read_address(const char *text, size_t length)
{
	uint64_t number = 0;
	unsigned base = 10;
	if (length > 1 && text[0] == '0') {
		char mark = text[1] | 0x20;
		base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
		size_t skip = base != 8 || mark == 'o' ? 2 : 1;
		text += skip;
		length -= skip;
	}
	if (!length)
		return 0;
	for (size_t i = 0; i < length; i++) {
		int digit = hex_digit(text[i]);
		if (digit < 0 || digit >= (int)base || __builtin_mul_overflow(number, base, &number) ||
		    __builtin_add_overflow(number, (unsigned)digit, &number))
			return 0;
	}
	return number;
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* The path without "//", "/./" and "/../", as Go's ServeMux wants it; a slash at the end stays. */
static void clean_path(const char *path, char out[PATH_BYTES])
{
	size_t used = 0;
	bool has_slash = path[strlen(path) - 1] == '/';
	while (*path) {
		path += strspn(path, "/");
		size_t length = strcspn(path, "/");
		if (length == 2 && path[0] == '.' && path[1] == '.') {
			while (used && out[--used] != '/')
				;
		} else if (length && !(length == 1 && path[0] == '.')) {
			out[used++] = '/';
			memcpy(out + used, path, length);
			used += length;
		}
		path += length;
	}
	if (has_slash || used == 0)
		out[used++] = '/';
	out[used] = '\0';
}

/* Whether a path can stand in a header and in a page as it is. */
static bool is_plain(const char *path)
{
	return path[strspn(path, "/-._abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")] ==
	       '\0';
}

static void redirect(struct http_reply *reply, const char *path, const char *query)
{
	http_reply_error(reply, 307, "<a href=\"%s\">Temporary Redirect</a>.\n", path);
	reply->content_type = HTTP_HTML;
	reply->is_nosniff = false;
	/* A query that does not fit is dropped whole. */
	int length = snprintf(reply->location, sizeof reply->location, "%s%s%s", path, *query ? "?" : "",
			      query);
	if (length < 0 || (size_t)length >= sizeof reply->location)
		snprintf(reply->location, sizeof reply->location, "%s", path);
}

/* ---- endpoints ------------------------------------------------------------------------------- */

static bool read_profile_span(struct http_request *request, bool is_timed, struct http_reply *reply)
{
	char value[VALUE_BYTES];
	long seconds = 0;
	bool is_given = find_value(request->query, "seconds", value) && *value;
	bool is_number = is_given && read_integer(value, &seconds) && seconds > 0;
	if (is_timed && !is_number)
		seconds = HTTP_SECONDS_DEFAULT;
	if (!is_timed && is_given && !is_number) {
		http_reply_pprof_error(reply, 400,
				       "invalid value for \"seconds\" - must be a positive integer");
		return false;
	}
	if (!is_timed && is_given && request->is_text) {
		http_reply_pprof_error(reply, 400, "seconds and debug params are incompatible");
		return false;
	}
	if (seconds > HTTP_SECONDS_MAX) {
		http_reply_pprof_error(reply, 400, "profile duration exceeds server's WriteTimeout");
		return false;
	}
	request->span_ms = (unsigned)seconds * 1000;
	return true;
}

static bool read_profile(struct http_request *request, const char *name, struct http_reply *reply)
{
	char value[VALUE_BYTES];
	long debug = 0;
	const struct http_profile_name *known = http_profile_names;
	while (known->name && strcmp(known->name, name) != 0)
		known++;
	if (!known->name) {
		http_reply_pprof_error(reply, 404, "Unknown profile");
		return false;
	}
	if (find_value(request->query, "debug", value))
		read_integer(value, &debug);
	request->endpoint = HTTP_ENDPOINT_PROFILE;
	request->kind = known->kind;
	request->name = known->name;
	request->is_text = debug != 0 && !known->is_timed;
	request->is_dump = debug >= 2 && !known->is_timed;
	return read_profile_span(request, known->is_timed, reply);
}

static bool read_format(struct http_request *request, struct http_reply *reply)
{
	char value[VALUE_BYTES];
	bool is_given = find_value(request->query, "format", value) && *value;
	request->format = is_given && strcmp(value, "perfetto") == 0 ? TRACE_PERFETTO : TRACE_GO;
	if (!is_given || request->format == TRACE_PERFETTO || strcmp(value, "go") == 0)
		return true;
	http_reply_pprof_error(reply, 400, "invalid value for \"format\" - must be go or perfetto");
	return false;
}

/* As Go does: what is no number above 0 is the default. */
static bool read_trace(struct http_request *request, struct http_reply *reply)
{
	char value[VALUE_BYTES] = "";
	char *end = value;
	double seconds = 0;
	if (find_value(request->query, "seconds", value) && *value && !isspace((unsigned char)*value))
		seconds = strtod(value, &end);
	if (*end || !(seconds > 0))
		seconds = HTTP_TRACE_SECONDS_DEFAULT;
	if (seconds > HTTP_SECONDS_MAX) {
		http_reply_pprof_error(reply, 400, "profile duration exceeds server's WriteTimeout");
		return false;
	}
	request->endpoint = HTTP_ENDPOINT_TRACE;
	request->name = "trace";
	request->span_ms = seconds < 0.001 ? 1 : (unsigned)(seconds * 1000);
	return read_format(request, reply);
}

static bool read_endpoint(struct http_request *request, const char *path, struct http_reply *reply)
{
	const char *name = path + strlen(PREFIX);
	bool is_below = strncmp(path, PREFIX, strlen(PREFIX)) == 0;
	if (is_below && !*name) {
		request->endpoint = HTTP_ENDPOINT_INDEX;
		return true;
	}
	if (is_below && strcmp(name, "cmdline") == 0) {
		request->endpoint = HTTP_ENDPOINT_CMDLINE;
		return true;
	}
	if (is_below && strcmp(name, "symbol") == 0) {
		request->endpoint = HTTP_ENDPOINT_SYMBOL;
		return true;
	}
	if (is_below && strcmp(name, "trace") == 0)
		return read_trace(request, reply);
	if (strcmp(path, "/debug/trace/snapshot") == 0) {
		request->endpoint = HTTP_ENDPOINT_FLIGHT;
		request->name = "trace";
		return read_format(request, reply);
	}
	if (is_below)
		return read_profile(request, name, reply);
	if (strcmp(path, "/metrics") == 0 || strcmp(path, "/healthz") == 0) {
		request->endpoint = path[1] == 'm' ? HTTP_ENDPOINT_METRICS : HTTP_ENDPOINT_HEALTH;
		return true;
	}
	http_reply_error(reply, 404, "404 page not found");
	return false;
}

/* Only symbols are asked for by POST too: there may be more addresses than a URI holds. */
static bool accepts_method(const char *method, const char *path)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ||
	       (strcmp(method, "POST") == 0 && strcmp(path, PREFIX "symbol") == 0);
}

bool http_request_read(const char *method, const char *uri, struct http_request *out_request,
		       struct http_reply *out_reply)
{
	char path[PATH_BYTES] = "";
	char clean[PATH_BYTES];
	char value[VALUE_BYTES];
	long pid = 0;
	size_t length = strcspn(uri, "?#");
	struct http_request request = {.query = uri[length] == '?' ? uri + length + 1 : "",
				       .is_post = strcmp(method, "POST") == 0};
	if (!unescape(uri, length, false, path, sizeof path) || path[0] != '/' || !is_plain(path)) {
		http_reply_error(out_reply, 404, "404 page not found");
		return false;
	}
	clean_path(path, clean);
	bool is_short = strcmp(clean, "/") == 0 || strcmp(clean, "/debug/pprof") == 0;
	if (is_short || strcmp(clean, path) != 0) {
		redirect(out_reply, is_short ? PREFIX : clean, request.query);
		return false;
	}
	struct http_reply reply = {0};
	bool is_known = read_endpoint(&request, clean, &reply);
	bool is_here = is_known || reply.is_pprof_error;
	if (is_here && !accepts_method(method, clean)) {
		http_reply_free(&reply);
		http_reply_error(out_reply, 405, "Method Not Allowed");
		out_reply->allow = strcmp(clean, PREFIX "symbol") == 0 ? "GET, HEAD, POST" : "GET, HEAD";
		return false;
	}
	if (!is_known) {
		*out_reply = reply;
		return false;
	}
	bool has_pid = find_value(request.query, "pid", value);
	request.is_of_all = has_pid && request.endpoint == HTTP_ENDPOINT_METRICS && strcmp(value, "all") == 0;
	if (has_pid && !request.is_of_all && (!read_integer(value, &pid) || pid <= 0 || pid > INT_MAX)) {
		http_reply_pprof_error(out_reply, 400,
				       "invalid value for \"pid\" - must be a positive integer");
		return false;
	}
	request.pid = (uint32_t)pid;
	if (find_value(request.query, "process", value))
		snprintf(request.process, sizeof request.process, "%s", value);
	*out_request = request;
	return true;
}
