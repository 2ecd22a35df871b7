/* SPDX-License-Identifier: MIT */
// ldflags: -Wl,--no-as-needed -l:libslow_malloc.so -ldl
/*
 * Linked with an allocator that asks dlsym for the real one; and asks dlsym itself for what
 * is not there, from several threads: dlerror allocates and frees at a thread's end.
 *
 * Context: test program.
 */
#include <dlfcn.h>
#include <pthread.h>

#include "hostile.h"

extern unsigned long slow_malloc_calls;

static void *asks(void *count)
{
	for (int i = 0; i < 300; i++) {
		char name[40];
		snprintf(name, sizeof name, "missing_%d_%p", i, count);
		if (dlsym(RTLD_DEFAULT, name))
			__atomic_add_fetch((int *)count, 1, __ATOMIC_RELAXED);
		if (i % 3 && !dlerror())
			__atomic_add_fetch((int *)count, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

int main(void)
{
	int surprises = 0;
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, asks, &surprises);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	const unsigned long before = slow_malloc_calls;
	free(malloc(10));
	say("surprises %d, calls of its own malloc %lu\n", surprises, slow_malloc_calls - before);
	hostile_works();
	return 0;
}
