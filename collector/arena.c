/* SPDX-License-Identifier: MIT */
/*
 * A list of chunks; a piece that does not fit starts a new one, and a large piece
 * gets a chunk of its own behind the current one, so that the rest of that is used.
 *
 * Context: collector; see arena.h.
 */
#include "arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)64 << 10)
#define LARGE_BYTES (CHUNK_BYTES / 8)

struct arena_chunk {
	struct arena_chunk *older;
	alignas(max_align_t) unsigned char bytes[];
};

void *arena_alloc(struct arena *arena, size_t size)
{
	const size_t align = alignof(max_align_t);
	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + align - 1) & ~(align - 1);
	if (size > LARGE_BYTES && arena->chunk) {
		struct arena_chunk *large = calloc(1, sizeof(*large) + size);
		if (!large)
			return NULL;
		large->older = arena->chunk->older;
		arena->chunk->older = large;
		return large->bytes;
	}
	if (!arena->chunk || size > CHUNK_BYTES - arena->used) {
		size_t bytes = size > CHUNK_BYTES ? size : CHUNK_BYTES;
		struct arena_chunk *chunk = calloc(1, sizeof(*chunk) + bytes);
		if (!chunk)
			return NULL;
		chunk->older = arena->chunk;
		arena->chunk = chunk;
		arena->used = 0;
	}
	void *piece = arena->chunk->bytes + arena->used;
	/* An oversized first chunk counts as full. */
	arena->used = size > CHUNK_BYTES ? CHUNK_BYTES : arena->used + size;
	return piece;
}

void *arena_array(struct arena *arena, size_t count, size_t item_size)
{
	size_t size;
	return __builtin_mul_overflow(count, item_size, &size) ? NULL : arena_alloc(arena, size);
}

void *arena_pointers(struct arena *arena, size_t count)
{
	return arena_array(arena, count, sizeof(void *));
}

char *arena_copy(struct arena *arena, const char *text, size_t size)
{
	char *copy = size < SIZE_MAX ? arena_alloc(arena, size + 1) : NULL;
	if (copy)
		memcpy(copy, text, size);
	return copy;
}

void arena_fini(struct arena *arena)
{
	while (arena->chunk) {
		struct arena_chunk *chunk = arena->chunk;
		arena->chunk = chunk->older;
		free(chunk);
	}
	arena->used = 0;
}
