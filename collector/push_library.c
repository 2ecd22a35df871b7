/* SPDX-License-Identifier: MIT */
/*
 * Debian builds libcurl with OpenSSL and with GnuTLS; either will do.
 *
 * Context: collector, main thread; see push_library.h.
 */
#include "push_library.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

#include "cprof_compiler.h"

static void *load(const char **out_error)
{
	static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
	static char error[256]; /* main thread only; dlopen() overwrites its own */
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		void *handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
		if (handle)
			return handle;
		if (i == 0) /* the one to name */
			snprintf(error, sizeof error, "%s",
				 dlerror()); /* NOLINT(concurrency-mt-unsafe): as above */
	}
	*out_error = error;
	return NULL;
}

const struct push_library *push_library_load(const char **out_error)
{
	static struct push_library library; /* main thread only; never unloaded */
	if (library.handle)
		return &library;
	void *handle = load(out_error);
	if (!handle)
		return NULL;
#define LOOK_UP(name)                                                                     \
	library.name = (__typeof__(library.name))(uintptr_t)dlsym(handle, "curl_" #name); \
	if (!library.name) {                                                              \
		*out_error = "libcurl lacks curl_" #name;                                 \
		dlclose(handle);                                                          \
		return NULL;                                                              \
	}
	PUSH_LIBRARY_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
	if (library.global_init(CURL_GLOBAL_DEFAULT)) {
		*out_error = "libcurl does not start";
		return NULL;
	}
	library.handle = handle;
	return &library;
}
