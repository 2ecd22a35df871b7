/* SPDX-License-Identifier: MIT */
/*
 * An allocator as people write them to trace malloc: it looks up the real one at its first
 * call, by dlsym, which allocates itself.  Context: test program.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#define ARENA_BYTES 65536

static void *(*real_malloc)(size_t);
static void (*real_free)(void *);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static char arena[ARENA_BYTES];
static size_t arena_used;
static __thread int is_looking_up;

unsigned long slow_malloc_calls;

static void look_up(void)
{
	is_looking_up = 1;
	real_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	real_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
	real_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	real_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	(void)dlsym(RTLD_NEXT, "no_such_function_anywhere");
	(void)dlerror();
	is_looking_up = 0;
}

static void *from_arena(size_t bytes)
{
	void *block = arena + arena_used;
	arena_used += (bytes + 31) / 16 * 16;
	return block;
}

static int is_arena(const void *block)
{
	return (const char *)block >= arena && (const char *)block < arena + ARENA_BYTES;
}

void *malloc(size_t bytes)
{
	if (!real_malloc && !is_looking_up)
		look_up();
	__atomic_add_fetch(&slow_malloc_calls, 1, __ATOMIC_RELAXED);
	return real_malloc ? real_malloc(bytes) : from_arena(bytes);
}

void *calloc(size_t count, size_t bytes)
{
	if (!real_calloc && !is_looking_up)
		look_up();
	return real_calloc ? real_calloc(count, bytes) : from_arena(count * bytes);
}

void *realloc(void *block, size_t bytes)
{
	if (!real_realloc && !is_looking_up)
		look_up();
	if (is_arena(block)) {
		void *moved = malloc(bytes);
		memcpy(moved, block, bytes);
		return moved;
	}
	return real_realloc ? real_realloc(block, bytes) : from_arena(bytes);
}

void free(void *block)
{
	if (!real_free && !is_looking_up)
		look_up();
	if (block && !is_arena(block) && real_free)
		real_free(block);
}
