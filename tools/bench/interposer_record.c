/* SPDX-License-Identifier: MIT */
/* cflags: -shared -fPIC -fvisibility=hidden */
/* ldflags: -Wl,--as-needed -Wl,-z,now */
/*
 * The least that a preloaded profiler has to do which records every allocation and knows what
 * is in use: malloc enters the block into a table that threads share and adds it to the total
 * of its caller, free takes it out.  No stack is walked, nothing is written anywhere, and
 * no other process looks on.
 *
 * Context: benchmarks.
 */
#include <stdint.h>
#include <sys/mman.h>

#include "interposer.h"

#define SLOTS 8
#define BUCKETS (UINT64_C(1) << 12) /* of 256 bytes; a larger one has more to wait for */
#define TOTALS (UINT64_C(1) << 12)

struct bucket {
	uint64_t address[SLOTS];
	struct {
		uint64_t weight, bytes, caller;
	} payload[SLOTS];
};

static struct bucket *buckets;
static struct {
	uint64_t blocks, bytes;
} totals[TOTALS];

__attribute__((constructor)) static void make_table(void)
{
	void *table = mmap(NULL, BUCKETS * sizeof(struct bucket), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED)
		abort();
	buckets = table;
}

static struct bucket *bucket_of(const void *block)
{
	/* The finisher of SplitMix64, as in cprof. */
	uint64_t hash = (uintptr_t)block;
	hash = (hash ^ hash >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	hash = (hash ^ hash >> 27) * UINT64_C(0x94d049bb133111eb);
	return &buckets[(hash ^ hash >> 31) % BUCKETS];
}

static void enter(const void *block, size_t size, uint64_t caller)
{
	struct bucket *bucket = bucket_of(block);
	__atomic_fetch_add(&totals[caller % TOTALS].blocks, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&totals[caller % TOTALS].bytes, size, __ATOMIC_RELAXED);
	for (int i = 0; i < SLOTS; i++) {
		uint64_t empty = 0;
		if (!__atomic_compare_exchange_n(&bucket->address[i], &empty, 1, 0, __ATOMIC_ACQ_REL,
						 __ATOMIC_RELAXED))
			continue;
		bucket->payload[i].weight = 1;
		bucket->payload[i].bytes = size;
		bucket->payload[i].caller = caller;
		__atomic_store_n(&bucket->address[i], (uintptr_t)block, __ATOMIC_RELEASE);
		return;
	}
}

EXPORTED void *malloc(size_t size)
{
	void *block = next_malloc(size);
	if (block && buckets)
		enter(block, size, (uintptr_t)__builtin_return_address(0));
	return block;
}

EXPORTED void free(void *block)
{
	struct bucket *bucket = block && buckets ? bucket_of(block) : NULL;
	for (int i = 0; bucket && i < SLOTS; i++)
		if (__atomic_load_n(&bucket->address[i], __ATOMIC_RELAXED) == (uintptr_t)block) {
			__atomic_store_n(&bucket->address[i], 0, __ATOMIC_RELEASE);
			break;
		}
	next_free(block);
}
