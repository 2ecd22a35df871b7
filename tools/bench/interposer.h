/* SPDX-License-Identifier: MIT */
/*
 * The next malloc and free for an interposer that does next to nothing: found at the first
 * call of each, since a program may bring an allocator of its own, then one load and a jump.
 *
 * Context: benchmarks.
 */
#ifndef BENCH_INTERPOSER_H
#define BENCH_INTERPOSER_H

#include <dlfcn.h>
#include <stdlib.h>

#define EXPORTED __attribute__((visibility("default")))

static void *first_malloc(size_t size);
static void first_free(void *block);

/* Volatile: always loaded, as by a library that cannot know them when it is built. */
static void *(*volatile next_malloc)(size_t) = first_malloc;
static void (*volatile next_free)(void *) = first_free;

static void *first_malloc(size_t size)
{
	next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	return next_malloc(size);
}

static void first_free(void *block)
{
	next_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
	next_free(block);
}

#endif
