/* SPDX-License-Identifier: MIT */
/* cflags: -shared -fPIC -fvisibility=hidden -ftls-model=initial-exec */
/* ldflags: -Wl,--as-needed -Wl,-z,now */
/*
 * The least that a sampling profiler has to do which is preloaded: malloc counts the bytes
 * of its thread down and branches, free looks one byte up and branches; both jump on.
 * Nothing is ever sampled.
 *
 * Context: benchmarks.
 */
#include <stdint.h>

#include "interposer.h"

#define unlikely(x) __builtin_expect(!!(x), 0)

extern uint8_t marks[1u << 16];
uint8_t marks[1u << 16];

static __thread uint64_t left;

static __attribute__((noinline, cold)) void *count_again(size_t size)
{
	left = UINT64_MAX;
	return next_malloc(size);
}

EXPORTED void *malloc(size_t size)
{
	if (unlikely(size >= left))
		return count_again(size);
	left -= size;
	return next_malloc(size);
}

EXPORTED void free(void *block)
{
	if (unlikely(marks[(uint16_t)((uintptr_t)block >> 8)]))
		abort();
	next_free(block);
}
