/* SPDX-License-Identifier: MIT */
/* cflags: -shared -fPIC -fvisibility=hidden */
/* ldflags: -Wl,--as-needed -Wl,-z,now */
/*
 * The least that anything preloaded has to do: jump to the real functions.  What this
 * costs nobody can go below who takes malloc and free over.
 *
 * Context: benchmarks.
 */
#include <stdlib.h>

extern void *__libc_malloc(size_t size);
extern void __libc_free(void *block);

extern void *(*volatile next_malloc)(size_t);
extern void (*volatile next_free)(void *);

void *(*volatile next_malloc)(size_t) = __libc_malloc;
void (*volatile next_free)(void *) = __libc_free;

__attribute__((visibility("default"))) void *malloc(size_t size)
{
	return next_malloc(size);
}

__attribute__((visibility("default"))) void free(void *block)
{
	next_free(block);
}
