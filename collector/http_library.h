/* SPDX-License-Identifier: MIT */
/*
 * libmicrohttpd, loaded when it is needed and not before: linked, it and what it needs
 * would be loaded at each start of a collector, by whoever never asked for HTTP.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_HTTP_LIBRARY_H
#define COLLECTOR_HTTP_LIBRARY_H

#include <microhttpd.h>

#define HTTP_LIBRARY_NAME "libmicrohttpd.so.12"

/* What is used of it, without the prefix MHD_. */
#define HTTP_LIBRARY_FUNCTIONS(X)      \
	X(start_daemon)                \
	X(stop_daemon)                 \
	X(run)                         \
	X(get_timeout)                 \
	X(get_daemon_info)             \
	X(get_connection_info)         \
	X(get_connection_values)       \
	X(lookup_connection_value)     \
	X(suspend_connection)          \
	X(resume_connection)           \
	X(create_response_from_buffer) \
	X(add_response_header)         \
	X(queue_response)              \
	X(destroy_response)            \
	X(set_panic_func)

struct http_library {
	void *handle;
#define HTTP_LIBRARY_MEMBER(name) __typeof__(&MHD_##name) name;
	HTTP_LIBRARY_FUNCTIONS(HTTP_LIBRARY_MEMBER)
#undef HTTP_LIBRARY_MEMBER
};

/* The library's functions, loaded at the first call; NULL: it cannot be loaded, *out_error says why. */
const struct http_library *http_library_load(const char **out_error);

#endif
