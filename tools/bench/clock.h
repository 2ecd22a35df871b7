/* SPDX-License-Identifier: MIT */
/*
 * What the benchmark programs share: clocks, a median, and a fence against an
 * optimiser that sees through the work.  Each program prints its figures as lines
 * "NAME VALUE", which bench.py reads.
 *
 * Context: benchmarks.
 */
#ifndef TOOLS_BENCH_CLOCK_H
#define TOOLS_BENCH_CLOCK_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

/* The compiler must assume that *p is read and written here. */
#define BENCH_OPAQUE(p) __asm__ volatile("" : "+r"(p) : : "memory")

static inline uint64_t bench_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* CPU time of this thread: other processes on the machine add little to it. */
static inline uint64_t bench_thread_ns(void)
{
	return bench_ns(CLOCK_THREAD_CPUTIME_ID);
}

static inline uint64_t bench_wall_ns(void)
{
	return bench_ns(CLOCK_MONOTONIC);
}

static inline int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static inline double bench_median(double *values, size_t count)
{
	qsort(values, count, sizeof *values, bench_compare);
	return values[count / 2];
}

#endif
