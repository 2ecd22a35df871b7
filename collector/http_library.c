/* SPDX-License-Identifier: MIT */
/*
 * Each entry of the table has the type that the header declares, so the compiler checks
 * the calls as if the library were linked.
 *
 * Context: collector, main thread.
 */
#include "http_library.h"

#include <dlfcn.h>
#include <stddef.h>

const struct http_library *http_library_load(const char **out_error)
{
	static struct http_library library; /* main thread only; never unloaded */
	if (library.handle)
		return &library;
	void *handle = dlopen(HTTP_LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		*out_error = dlerror(); /* NOLINT(concurrency-mt-unsafe): no other thread loads anything */
		return NULL;
	}
#define LOOK_UP(name)                                                                    \
	library.name = (__typeof__(library.name))(uintptr_t)dlsym(handle, "MHD_" #name); \
	if (!library.name) {                                                             \
		*out_error = HTTP_LIBRARY_NAME " lacks MHD_" #name;                      \
		dlclose(handle);                                                         \
		return NULL;                                                             \
	}
	HTTP_LIBRARY_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
	library.handle = handle;
	return &library;
}
