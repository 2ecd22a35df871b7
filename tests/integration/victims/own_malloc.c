/* SPDX-License-Identifier: MIT */
/*
 * A program that brings its own malloc, as some do: the loader finds it before any
 * preloaded one.  Burns CPU for the milliseconds given.  It leaves reallocarray() to libc, and uses
 * jemalloc's calls if there are any: their blocks are to be of its own malloc all the same, or none.
 * Else the status is 1.
 *
 * Context: test program.
 */
#include "victim.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Alignas(16) char arena[64 << 20];
static size_t used;

void *malloc(size_t bytes)
{
	const size_t at = __atomic_fetch_add(&used, (bytes + 16 + 15) / 16 * 16, __ATOMIC_RELAXED);
	if (at + bytes + 16 > sizeof arena)
		return NULL;
	*(size_t *)(void *)(arena + at) = bytes;
	return arena + at + 16;
}

void free(void *p) { (void)p; }

void *calloc(size_t count, size_t bytes) { return malloc(count * bytes); }

void *realloc(void *p, size_t bytes)
{
	void *q = malloc(bytes);
	if (p && q) {
		const size_t old = *(size_t *)(void *)((char *)p - 16);
		memcpy(q, p, old < bytes ? old : bytes);
	}
	return q;
}

FRAME int64_t own_work(int64_t ns) { return spin_cpu_ns(ns); }

void *mallocx(size_t bytes, int flags) __attribute__((weak));
void *rallocx(void *p, size_t bytes, int flags) __attribute__((weak));
size_t xallocx(void *p, size_t bytes, size_t extra, int flags) __attribute__((weak));
void dallocx(void *p, int flags) __attribute__((weak));

static int is_own(const char *p) { return p >= arena && p < arena + sizeof arena; }

static int jemalloc_is_own(void)
{
	const int zero = 0x40, page_aligned = 12;
	if (!mallocx || !rallocx || !xallocx || !dallocx)
		return 1;
	char *plain = mallocx(100, 0), *zeroed = mallocx(100, zero), *aligned = mallocx(100, page_aligned);
	if (!is_own(plain) || !is_own(zeroed) || (aligned && !is_own(aligned)))
		return 0;
	strcpy(plain, "text");
	if (xallocx(plain, 1000, 0, 0) >= 1000)
		return 0;
	plain = rallocx(plain, 1000, 0);
	if (!is_own(plain) || strcmp(plain, "text") != 0)
		return 0;
	aligned = rallocx(plain, 2000, page_aligned | zero);
	if (aligned && !is_own(aligned))
		return 0;
	dallocx(zeroed, 0);
	return 1;
}

int main(int argc, char **argv)
{
	char *volatile text = malloc(100);
	strcpy(text, "done\n");
	own_work((argc > 1 ? strtoll(argv[1], NULL, 10) : 100) * 1000000);
	text = realloc(text, 200);
	text = reallocarray(text, 20, 20);
	return write(1, text, 5) != 5 || !is_own(text) || !jemalloc_is_own();
}
