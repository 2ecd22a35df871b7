/* SPDX-License-Identifier: MIT */
/*
 * A program that brings its own malloc, as some do: the loader finds it before any
 * preloaded one.  Burns CPU for the milliseconds given.  It leaves reallocarray() to libc, whose
 * block is to be of its own malloc all the same: else the status is 1.
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

int main(int argc, char **argv)
{
	char *volatile text = malloc(100);
	strcpy(text, "done\n");
	own_work((argc > 1 ? strtoll(argv[1], NULL, 10) : 100) * 1000000);
	text = realloc(text, 200);
	text = reallocarray(text, 20, 20);
	return write(1, text, 5) != 5 || text < arena || text >= arena + sizeof arena;
}
