/* SPDX-License-Identifier: MIT */
/*
 * Memory that is given back all at once: what one image or one profile needs in many
 * small pieces (names, lines, protobuf messages).  Nothing is freed singly.
 *
 * Context: collector; not thread-safe.
 */
#ifndef COLLECTOR_ARENA_H
#define COLLECTOR_ARENA_H

#include <stddef.h>

/* A zeroed one is empty and valid. */
struct arena {
	struct arena_chunk *chunk;
	size_t used; /* of the newest chunk */
};

/* Zeroed memory aligned for any type; NULL if there is none. */
void *arena_alloc(struct arena *arena, size_t size);

/* An array of `count` zeroed items; NULL if there is no memory or the product overflows. */
void *arena_array(struct arena *arena, size_t count, size_t item_size);

/* An array of `count` null pointers; as above. */
void *arena_pointers(struct arena *arena, size_t count);

/* A terminated copy of `size` bytes; NULL if there is no memory. */
char *arena_copy(struct arena *arena, const char *text, size_t size);

/* Frees everything and leaves an empty arena. */
void arena_fini(struct arena *arena);

#endif
