/* SPDX-License-Identifier: MIT */
/*
 * The price of malloc and free.  Prints nanoseconds of CPU time for each pair, the
 * median over batches.
 *
 *     bench_malloc pair    malloc(64), free
 *     bench_malloc mixed   sizes of 16 bytes to 8 KiB, each freed 1024 allocations later
 *     bench_malloc deep    malloc(64), free, in the 10th frame of the stack
 *
 * Context: benchmarks.
 */
#include <stdio.h>
#include <string.h>

#include "bench_clock.h"

#define BATCHES 15
#define BATCH_NS 20000000u
#define CHUNK_PAIRS 2000u
#define WINDOW 1024u
/* _start, __libc_start_main, __libc_start_call_main, main and measure() are five of the ten. */
#define RECURSIONS 5

static uint32_t random_state = 12345;

/* Marsaglia's xorshift32 (2003). */
static uint32_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

static __attribute__((noinline)) void run_pairs(unsigned pairs)
{
	for (unsigned i = 0; i < pairs; i++) {
		void *p = malloc(64);
		BENCH_OPAQUE(p);
		free(p);
	}
}

static void run_mixed(unsigned pairs)
{
	static void *window[WINDOW];
	static unsigned at;
	for (unsigned i = 0; i < pairs; i++) {
		uint32_t random = next_random();
		/* Small ones are common, large ones rare, as in programs. */
		size_t size = 16 + (random >> 8) % (UINT32_C(1) << (4 + random % 10));
		free(window[at]);
		window[at] = malloc(size);
		at = (at + 1) % WINDOW;
	}
}

static __attribute__((noinline)) void run_deep(unsigned pairs, int recursions)
{
	if (recursions > 1) {
		run_deep(pairs, recursions - 1);
		BENCH_OPAQUE(pairs); /* no tail call */
		return;
	}
	for (unsigned i = 0; i < pairs; i++) {
		void *p = malloc(64);
		BENCH_OPAQUE(p);
		free(p);
	}
}

enum work { WORK_PAIR, WORK_MIXED, WORK_DEEP };

static __attribute__((noinline)) double measure(enum work work)
{
	double batches[BATCHES] = {0};
	for (int b = -1; b < BATCHES; b++) {
		uint64_t start = bench_thread_ns(), ns;
		uint64_t pairs = 0;
		do {
			if (work == WORK_PAIR)
				run_pairs(CHUNK_PAIRS);
			else if (work == WORK_MIXED)
				run_mixed(CHUNK_PAIRS);
			else
				run_deep(CHUNK_PAIRS, RECURSIONS);
			pairs += CHUNK_PAIRS;
			ns = bench_thread_ns() - start;
		} while (ns < BATCH_NS);
		if (b >= 0) /* the first one warms up */
			batches[b] = (double)ns / (double)pairs;
	}
	return bench_median(batches, BATCHES);
}

int main(int argc, char **argv)
{
	const char *name = argc == 2 ? argv[1] : "";
	enum work work;
	if (strcmp(name, "pair") == 0)
		work = WORK_PAIR;
	else if (strcmp(name, "mixed") == 0)
		work = WORK_MIXED;
	else if (strcmp(name, "deep") == 0)
		work = WORK_DEEP;
	else
		return 2;
	printf("%.3f\n", measure(work));
	return 0;
}
