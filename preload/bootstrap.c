/* SPDX-License-Identifier: MIT */
/*
 * A bump allocator.  The arena's addresses are pinned in the live filter, so that
 * free()'s fast path needs no test of its own for them.
 *
 * Context: any (async-signal-safe).
 */
#include "bootstrap.h"

#include <stdint.h>

#include "cprof_atomic.h"
#include "cprof_compiler.h"
#include "live.h"

#define ARENA_BYTES (64 << 10)
#define HEADER_BYTES 16

static SPARSE _Alignas(4096) unsigned char arena[ARENA_BYTES];
static atomic_u32 used;

COLD void *bootstrap_alloc(size_t alignment, size_t size)
{
	if (alignment < HEADER_BYTES)
		alignment = HEADER_BYTES;
	if (size > ARENA_BYTES || alignment > ARENA_BYTES)
		return NULL;
	if (load_relaxed(&used) == 0) /* pinning twice does no harm */
		live_filter_pin(arena, sizeof arena);
	size_t need = HEADER_BYTES + (alignment - HEADER_BYTES) + size;
	size_t at = add_relaxed(&used, (uint32_t)((need + HEADER_BYTES - 1) & ~(size_t)(HEADER_BYTES - 1)));
	if (at + need > ARENA_BYTES) {
		store_relaxed(&used, (uint32_t)ARENA_BYTES); /* full: nothing fits any more */
		return NULL;
	}
	uintptr_t block = ((uintptr_t)arena + at + HEADER_BYTES + alignment - 1) &
			  ~(uintptr_t)(alignment - 1);
	*(size_t *)(block - HEADER_BYTES) = size;
	return (void *)block;
}

bool bootstrap_owns(const void *block)
{
	return (uintptr_t)block - (uintptr_t)arena < ARENA_BYTES;
}

size_t bootstrap_size(const void *block)
{
	return *(const size_t *)((uintptr_t)block - HEADER_BYTES);
}
