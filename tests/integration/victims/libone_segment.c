/* SPDX-License-Identifier: MIT */
// ldflags: -Wl,-z,noseparate-code
/*
 * An allocator as gold links them: its symbol table lies in the same page as its code.
 * It only ever hands out.
 *
 * Context: preloaded into test programs.
 */
#include <stdlib.h>
#include <string.h>

#define GRAIN 16

static _Alignas(GRAIN) char arena[256 << 20];
static size_t used;

static size_t *size_of(void *block)
{
	return (size_t *)block - 1;
}

void *malloc(size_t bytes)
{
	const size_t need = (bytes + 2 * GRAIN - 1) & ~(size_t)(GRAIN - 1);
	const size_t at = __atomic_fetch_add(&used, need, __ATOMIC_RELAXED);
	if (need < bytes || at + need > sizeof arena)
		return NULL;
	*size_of(arena + at + GRAIN) = bytes;
	return arena + at + GRAIN;
}

void free(void *block)
{
	(void)block;
}

void *calloc(size_t count, size_t bytes)
{
	return malloc(count * bytes); /* nothing is handed out twice */
}

void *realloc(void *block, size_t bytes)
{
	void *moved = malloc(bytes);
	if (moved && block)
		memcpy(moved, block, *size_of(block) < bytes ? *size_of(block) : bytes);
	return moved;
}
