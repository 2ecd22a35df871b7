/* SPDX-License-Identifier: MIT */
/*
 * Does what it is told, a line at a time, and says "done" after each: so that a test
 * knows what happened while it watched.
 *
 *     alloc N SIZE   N blocks of SIZE bytes, in allocate_blocks()
 *     free N         the N newest of them, in free_blocks()
 *     burn N         N rounds of arithmetic, in burn_cpu()
 *     threads N      N threads that wait for ever, in wait_for_ever()
 *     quit
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS_MAX 1000000

static void *blocks[BLOCKS_MAX];
static size_t block_count;
static volatile uint64_t sink;

__attribute__((noinline)) void allocate_blocks(size_t count, size_t size);
__attribute__((noinline)) void free_blocks(size_t count);
__attribute__((noinline)) void burn_cpu(size_t rounds);
__attribute__((noinline)) void *wait_for_ever(void *unused);

void allocate_blocks(size_t count, size_t size)
{
	for (; count && block_count < BLOCKS_MAX; count--)
		blocks[block_count++] = malloc(size);
}

void free_blocks(size_t count)
{
	for (; count && block_count; count--)
		free(blocks[--block_count]);
}

void burn_cpu(size_t rounds)
{
	for (size_t i = 0; i < rounds * 1000; i++)
		sink = sink * 6364136223846793005u + 1442695040888963407u;
}

static pthread_mutex_t never = PTHREAD_MUTEX_INITIALIZER;

void *wait_for_ever(void *unused)
{
	pthread_mutex_lock(&never);
	pthread_mutex_unlock(&never);
	return unused;
}

int main(void)
{
	char line[128];
	size_t a;
	size_t b;
	pthread_mutex_lock(&never);
	while (fgets(line, sizeof line, stdin) && strcmp(line, "quit\n") != 0) {
		if (sscanf(line, "alloc %zu %zu", &a, &b) == 2)
			allocate_blocks(a, b);
		else if (sscanf(line, "free %zu", &a) == 1)
			free_blocks(a);
		else if (sscanf(line, "burn %zu", &a) == 1)
			burn_cpu(a);
		else if (sscanf(line, "threads %zu", &a) == 1)
			for (pthread_t thread; a; a--)
				pthread_create(&thread, NULL, wait_for_ever, NULL);
		puts("done");
		fflush(stdout);
	}
	_Exit(0);
}
