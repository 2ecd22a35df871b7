/* SPDX-License-Identifier: MIT */
/* cflags: -shared -fPIC -fvisibility=hidden */
/* ldflags: -Wl,--as-needed -Wl,-z,now */
/*
 * The least that anything preloaded has to do: jump to the real functions.  What this
 * costs nobody can go below who takes malloc and free over; what it adds to the start of a
 * process, nobody who is preloaded.
 *
 * Context: benchmarks.
 */
#include "interposer.h"

EXPORTED void *malloc(size_t size)
{
	return next_malloc(size);
}

EXPORTED void free(void *block)
{
	next_free(block);
}
