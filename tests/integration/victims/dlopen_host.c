/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls
// ldflags: -ldl
/*
 * Loads libraries, uses them, unloads them.
 *
 *     dlopen_host MILLISECONDS [delete] LIBRARY...
 *
 * Each LIBRARY is loaded, its plugin_work and plugin_allocates called (10 blocks of
 * 700 bytes, 4 freed), and unloaded; so a later one may get the addresses of an
 * earlier one.  With `delete` each file is removed while it is in use, and stays
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

FRAME int use(const char *path, int64_t ns, int delete)
{
	void *library = dlopen(path, RTLD_NOW);
	if (!library)
		return 1;
	int64_t (*work)(int64_t) = (int64_t (*)(int64_t))dlsym(library, "plugin_work");
	void *(*allocates)(size_t) = (void *(*)(size_t))dlsym(library, "plugin_allocates");
	if (!work || !allocates)
		return 2;
	for (int i = 0; i < 10; i++)
		blocks[i] = allocates(700);
	for (int i = 0; i < 4; i++)
		free(blocks[i]);
	work(ns / 2);
	if (delete && unlink(path))
		return 3;
	work(ns / 2);
	if (!delete && dlclose(library))
		return 4;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 9;
	const int64_t ns = strtoll(argv[1], NULL, 10) * 1000000;
	const int delete = !strcmp(argv[2], "delete");
	if (dlopen("/nonexistent.so", RTLD_NOW) || !strstr(dlerror(), "nonexistent"))
		return 8;
	for (int i = 2 + delete; i < argc; i++) {
		const int status = use(argv[i], ns, delete);
		if (status)
			return status;
	}
	printf("still loaded %d\n", dlopen(argv[2 + delete], RTLD_NOW | RTLD_NOLOAD) != NULL);
	return 0;
}
