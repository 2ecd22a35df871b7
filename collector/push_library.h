/* SPDX-License-Identifier: MIT */
/*
 * libcurl, loaded when it is needed and not before: it would cost each start of a
 * collector milliseconds.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_PUSH_LIBRARY_H
#define COLLECTOR_PUSH_LIBRARY_H

#include <curl/curl.h>

/* What is used of it, without the prefix curl_. */
#define PUSH_LIBRARY_FUNCTIONS(X) \
	X(global_init)            \
	X(easy_init)              \
	X(easy_setopt)            \
	X(easy_getinfo)           \
	X(easy_strerror)          \
	X(easy_cleanup)           \
	X(slist_append)           \
	X(slist_free_all)         \
	X(multi_init)             \
	X(multi_setopt)           \
	X(multi_add_handle)       \
	X(multi_remove_handle)    \
	X(multi_socket_action)    \
	X(multi_info_read)        \
	X(multi_cleanup)

struct push_library {
	void *handle;
#define PUSH_LIBRARY_MEMBER(name) __typeof__(&curl_##name) name;
	PUSH_LIBRARY_FUNCTIONS(PUSH_LIBRARY_MEMBER)
#undef PUSH_LIBRARY_MEMBER
};

/* The library's functions, loaded at the first call; NULL: it cannot be loaded, *out_error says why. */
const struct push_library *push_library_load(const char **out_error);

#endif
