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
#include "steps.h"

#define LEVELS 6 /* of 8 return addresses each: 2^18 stacks */
#define WAIT_MS_MAX 60000

static void **kept;
static unsigned kept_count;

BENCH_DEFINE_STEPS(kept[kept_count++] = malloc(48));

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
		bench_steps[0](i % stacks, LEVELS);
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
