/* SPDX-License-Identifier: MIT */
/*
 * A heap of many blocks from many stacks, and a snapshot of it.  Run at rate 1, so
 * that every block is a sampled one.  Prints
 *
 *     fill_ns      CPU time for each block, the first time its stack is seen included
 *     snapshot_ms  real time from the snapshot's signal until the file is there
 *
 *     snapshot BLOCKS STACKS
 *
 * Without CPROF_OUT in the environment there is no snapshot.
 *
 * Context: benchmarks.
 */
#include <dirent.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"

#define LEVELS 6 /* of 8 return addresses each: 2^18 stacks */
#define WAIT_MS_MAX 60000

typedef void step(unsigned path, int left);
static step *const volatile steps[4];

static void **kept;
static unsigned kept_count;

/* Two call sites in each of four functions that must not be merged: 8 return addresses a level. */
#define DEFINE_STEP(name)                                                      \
	static __attribute__((noipa)) void name(unsigned path, int left)       \
	{                                                                      \
		if (left == 0) {                                               \
			kept[kept_count++] = malloc(48);                       \
		} else if (path & 4) {                                         \
			steps[path & 3](path >> 3, left - 1);                  \
			__asm__ volatile("nop"); /* unlike the other branch */ \
		} else {                                                       \
			steps[path & 3](path >> 3, left - 1);                  \
		}                                                              \
		BENCH_OPAQUE(path); /* no tail calls */                        \
	}
DEFINE_STEP(step_a)
DEFINE_STEP(step_b)
DEFINE_STEP(step_c)
DEFINE_STEP(step_d)
static step *const volatile steps[4] = {step_a, step_b, step_c, step_d};

static bool has_snapshot(const char *directory)
{
	DIR *listing = opendir(directory);
	bool found = false;
	for (struct dirent *entry; listing && !found && (entry = readdir(listing));)
		found = fnmatch("snapshot.*.heap.1.pb.gz", entry->d_name, 0) == 0;
	if (listing)
		closedir(listing);
	return found;
}

int main(int argc, char **argv)
{
	unsigned blocks = argc == 3 ? (unsigned)atoi(argv[1]) : 0,
		 stacks = argc == 3 ? (unsigned)atoi(argv[2]) : 0;
	const char *directory = getenv("CPROF_OUT");
	if (!blocks || !stacks || stacks > 1u << 3 * LEVELS)
		return 2;
	kept = malloc(blocks * sizeof *kept);
	if (!kept)
		return 1;
	uint64_t start_ns = bench_thread_ns();
	for (unsigned i = 0; i < blocks; i++)
		steps[0](i % stacks, LEVELS);
	printf("fill_ns %.1f\n", (double)(bench_thread_ns() - start_ns) / blocks);
	if (!directory)
		return 0;
	uint64_t signal_ns = bench_wall_ns();
	raise(SIGUSR1);
	while (!has_snapshot(directory)) {
		if (bench_wall_ns() - signal_ns > WAIT_MS_MAX * UINT64_C(1000000))
			return 1;
		usleep(1000);
	}
	printf("snapshot_ms %.1f\n", (double)(bench_wall_ns() - signal_ns) / 1e6);
	return 0;
}
