/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls
// ldflags: -ldl
/*
 * Loads libraries, uses them, unloads them.
 *
 *     dlopen_host MILLISECONDS [delete | lose] LIBRARY...
 *
 * Each LIBRARY is loaded, its plugin_work and plugin_allocates called (10 blocks of
 * 700 bytes, 4 freed), and unloaded; so a later one may get the addresses of an
 * earlier one.  With `delete` each file is removed before anything of it is called, with `lose`
 * it says "using LIBRARY" and waits until somebody has removed the file; both stay
 * loaded.  A library that does not exist is tried first.
 *
 * Context: test program.
 */
#include "victim.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *blocks[10];

enum mode { UNLOAD, DELETE, LOSE };

static void wait_until_lost(const char *path)
{
	printf("using %s\n", path);
	fflush(stdout);
	while (access(path, F_OK) == 0)
		usleep(1000);
}

FRAME int use(const char *path, int64_t ns, enum mode mode)
{
	void *library = dlopen(path, RTLD_NOW);
	if (!library)
		return 1;
	int64_t (*work)(int64_t) = (int64_t (*)(int64_t))dlsym(library, "plugin_work");
	void *(*allocates)(size_t) = (void *(*)(size_t))dlsym(library, "plugin_allocates");
	if (!work || !allocates)
		return 2;
	if (mode == DELETE && unlink(path))
		return 3;
	for (int i = 0; i < 10; i++)
		blocks[i] = allocates(700);
	for (int i = 0; i < 4; i++)
		free(blocks[i]);
	work(ns / 2);
	if (mode == LOSE)
		wait_until_lost(path);
	work(ns / 2);
	if (mode == UNLOAD && dlclose(library))
		return 4;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 9;
	const int64_t ns = strtoll(argv[1], NULL, 10) * 1000000;
	const enum mode mode = !strcmp(argv[2], "delete") ? DELETE : !strcmp(argv[2], "lose") ? LOSE : UNLOAD;
	const int first = mode == UNLOAD ? 2 : 3;
	if (dlopen("/nonexistent.so", RTLD_NOW) || !strstr(dlerror(), "nonexistent"))
		return 8;
	for (int i = first; i < argc; i++) {
		const int status = use(argv[i], ns, mode);
		if (status)
			return status;
	}
	printf("still loaded %d\n", dlopen(argv[first], RTLD_NOW | RTLD_NOLOAD) != NULL);
	return 0;
}
