/* SPDX-License-Identifier: MIT */
// ldflags: -Wl,-rpath,$ORIGIN/hidden -Wl,--enable-new-dtags
/*
 * Loads a library that only its own RUNPATH leads to.  Context: test program.
 */
#include <dlfcn.h>
#include <stddef.h>

const char *finder_finds(void);

const char *finder_finds(void)
{
	void *handle = dlopen("libpiece_hidden.so", RTLD_NOW);
	if (!handle)
		return dlerror();
	dlclose(handle);
	return "found";
}
