/* SPDX-License-Identifier: MIT */
/*
 * What a program pays for what it says by cprof.h.  Prints nanoseconds of CPU time, the
 * median over batches:
 *
 *     region    cprof_region_begin() and cprof_region_end()
 *     labels    cprof_labels_push() and cprof_labels_pop(), a label that is known
 *     read      a call of read() that fails at once
 *
 * Context: benchmarks.
 */
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "cprof.h"

#define BATCHES 15
#define CALLS 100000
#define BEGIN_NS 300000000u

static __attribute__((noinline)) void mark_regions(void)
{
	for (int i = 0; i < CALLS; i++) {
		struct cprof_region region = cprof_region_begin("request");
		BENCH_OPAQUE(i);
		cprof_region_end(region);
	}
}

static __attribute__((noinline)) void push_labels(void)
{
	for (int i = 0; i < CALLS; i++) {
		struct cprof_labels before = cprof_labels_push("tenant", "somebody");
		BENCH_OPAQUE(i);
		cprof_labels_pop(before);
	}
}

static __attribute__((noinline)) void read_nothing(void)
{
	char c;
	for (int i = 0; i < CALLS; i++)
		(void)!read(-1, &c, 1);
}

static void measure(const char *name, void (*make_calls)(void))
{
	double batches[BATCHES];
	make_calls();
	for (int b = 0; b < BATCHES; b++) {
		uint64_t start = bench_thread_ns();
		make_calls();
		batches[b] = (double)(bench_thread_ns() - start) / CALLS;
	}
	printf("%s %.2f\n", name, bench_median(batches, BATCHES));
}

/* As in any program that has run for some time: the collector knows it, the stacks came before. */
static void begin(void)
{
	uint64_t start = bench_wall_ns();
	while (bench_wall_ns() - start < BEGIN_NS)
		mark_regions();
}

int main(void)
{
	begin();
	measure("region", mark_regions);
	measure("labels", push_labels);
	measure("read", read_nothing);
	return 0;
}
