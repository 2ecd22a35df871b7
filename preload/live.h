/* SPDX-License-Identifier: MIT */
/*
 * Which live blocks were sampled.  Must be fast to say no: free() asks for every
 * block of the program.
 *
 * In front of the exact table (in the segment) stands a filter of counters indexed
 * by address bits: no entry, no sampled block nearby.  It has no false negatives.
 * Neighbouring blocks share a counter, so the filter stays as local as the heap.
 * While every block is recorded it does not count, and says "maybe" where they were.
 * It is the process's own memory: a forked child inherits it with its heap, and its
 * stale counts there only cost look-ups.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_LIVE_H
#define PRELOAD_LIVE_H

#include "cprof_compiler.h"
#include "cprof_shm.h"

#define LIVE_FILTER_COUNTERS (UINT32_C(1) << 16)
#define LIVE_FILTER_GRANULE_SHIFT 8
/* A counter that reached this value stays: the answer is "maybe" for ever. */
#define LIVE_FILTER_STICKY 255

/* Written by any thread; a counter is raised before the block it stands for is handed out. */
extern atomic_u8 live_filter[LIVE_FILTER_COUNTERS] __attribute__((visibility("hidden")));

static ALWAYS_INLINE uint32_t live_filter_index(const void *block)
{
	return (uint32_t)((uintptr_t)block >> LIVE_FILTER_GRANULE_SHIFT) & (LIVE_FILTER_COUNTERS - 1);
}

/* True: the block was certainly not sampled. */
static ALWAYS_INLINE bool live_is_unknown(const void *block)
{
	/* Relaxed: whoever passed us the block ordered its allocation before this. */
	return load_relaxed(&live_filter[live_filter_index(block)]) == 0;
}

/* Makes live_is_unknown() false for ever for the blocks in [start, start + bytes). */
void live_filter_pin(const void *start, size_t bytes);

/*
 * Enters a block.  False: the table is full.  The caller owns the block and nobody
 * else knows its address yet.
 */
bool live_insert(const void *block, uint32_t stack, uint32_t labels, uint64_t weight, uint64_t value);

/* Takes a block out before it is freed.  Nothing happens if it is not there. */
void live_remove(const void *block);

/*
 * For realloc: the entry can no longer be found, because another thread may be given
 * the old address at once, but still counts.  Then exactly one of drop (the
 * reallocation succeeded) and reattach (it failed).
 */
struct live_entry {
	uint32_t bucket;
	uint32_t slot;
	bool found;
};
struct live_entry live_detach(const void *block);
/* The bytes that it counts for, 0 if it was not found. */
uint64_t live_value(struct live_entry entry);
void live_drop(struct live_entry entry, const void *block);
void live_reattach(struct live_entry entry, const void *block);

#endif
