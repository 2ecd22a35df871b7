/* SPDX-License-Identifier: MIT */
// ldflags: -ldl
/*
 * Blocks that come from one door and go through another: libc's inner names, what libc
 * functions allocate for the caller, other threads' blocks, usable sizes, statistics.
 *
 * Context: test program.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <search.h>
#include <wchar.h>

#include "hostile.h"

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

static void *frees(void *block)
{
	free(block);
	return malloc(33);
}

int main(void)
{
	for (int i = 1; i < 3000; i++) {
		free(__libc_malloc((size_t)i));
		__libc_free(malloc((size_t)i));
		free(__libc_realloc(malloc((size_t)i), (size_t)i * 2));
		free(realloc(__libc_calloc(3, (size_t)i), (size_t)i));
		free(__libc_memalign(64, (size_t)i));
	}
	char *line = NULL, *text = NULL, *memory = NULL;
	size_t capacity = 0, size = 0;
	FILE *self = fopen("/proc/self/status", "r"), *stream = open_memstream(&memory, &size);
	int lines = 0;
	while (self && getline(&line, &capacity, self) > 0)
		lines++;
	if (self)
		fclose(self);
	free(line);
	for (int i = 0; i < 2000; i++) {
		if (asprintf(&text, "number %d of a row", i) < 0)
			return 1;
		fputs(text, stream);
		free(text);
	}
	fclose(stream);
	say("lines %d, stream %zu\n", lines > 10, size);
	free(memory);
	text = strdup("a word");
	char *directory = getcwd(NULL, 0);
	char *real = realpath("/proc/self/../../usr", NULL);
	say("strdup %zu getcwd %d realpath %s\n", strlen(text), directory != NULL, real ? real : "none");
	free(text);
	free(directory);
	free(real);
	wchar_t *wide = wcsdup(L"wide");
	say("wcsdup %zu\n", wcslen(wide));
	free(wide);

	pthread_t thread;
	void *block = malloc(77);
	for (int i = 0; i < 300; i++) {
		pthread_create(&thread, NULL, frees, block);
		pthread_join(thread, &block);
	}
	say("usable %zu %zu\n", malloc_usable_size(block), malloc_usable_size(NULL));
	free(block);
	block = malloc(24);
	memset(block, 1, malloc_usable_size(block));
	block = realloc(block, 100000);
	say("moved %d\n", ((char *)block)[23]);
	free(block);
	say("mallopt %d trim %d\n", mallopt(M_MMAP_THRESHOLD, 65536), malloc_trim(0) >= 0);
	const struct mallinfo2 info = mallinfo2();
	say("in use %d\n", info.uordblks < 50000000);
	void *handle = dlopen("libjemalloc.so.2", RTLD_NOW | RTLD_LOCAL);
	if (handle) {
		void *(*other_malloc)(size_t) = (void *(*)(size_t))dlsym(handle, "malloc");
		void (*other_free)(void *) = (void (*)(void *))dlsym(handle, "free");
		for (int i = 0; i < 1000; i++)
			other_free(other_malloc((size_t)i + 1));
	}
	hostile_works();
	return 0;
}
