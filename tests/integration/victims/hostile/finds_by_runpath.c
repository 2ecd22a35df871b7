/* SPDX-License-Identifier: MIT */
// ldflags: -ldl
/*
 * A library found by the RUNPATH of the library that asks, and not by this program.
 *
 *     finds_by_runpath LIBFINDER LIBPIECE
 *
 * Context: test program.
 */
#include <dlfcn.h>
#include <sys/stat.h>

#include "hostile.h"

int main(int argc, char **argv)
{
	char command[8000];
	snprintf(command, sizeof command, "mkdir -p room/hidden && cp '%s' room/libfinder.so && cp '%s' room/hidden/libpiece_hidden.so",
		 argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "");
	if (system(command))
		return CANNOT_RUN;
	void *handle = dlopen("./room/libfinder.so", RTLD_NOW);
	const char *(*finds)(void) = handle ? (const char *(*)(void))dlsym(handle, "finder_finds") : NULL;
	say("by the library: %s\n", finds ? finds() : dlerror());
	say("by the program: %d\n", dlopen("libpiece_hidden.so", RTLD_NOW) != NULL);
	hostile_works();
	return 0;
}
