/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls
/*
 * Something to kill.  Writes how far it came to a shared file, so that the killer
 * knows what the profile owes: after each allocation in counted_malloc, a counter.
 *
 *     kill_target FILE MODE
 *
 * FILE's words: allocations of the first process, and of all its children.
 *
 * Context: test program.
 */
#include "victim.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile uint64_t *counters;

FRAME void *counted_malloc(size_t bytes) { return malloc(bytes); }
FRAME void *child_malloc(size_t bytes) { return malloc(bytes); }

static void allocate(uint64_t rounds, volatile uint64_t *counter, void *(*take)(size_t))
{
	static void *volatile ring[512];
	uint64_t state = 12345;
	for (uint64_t i = 0; i < rounds; i++) {
		const uint64_t at = random_next(&state) % 512;
		free(ring[at]);
		ring[at] = NULL;
		ring[at] = take(1 + random_next(&state) % 300);
		__atomic_store_n(counter, *counter + 1, __ATOMIC_RELEASE);
	}
}

static void *allocate_in_thread(void *unused)
{
	static void *volatile block;
	for (;;) {
		free(block);
		block = NULL;
		block = child_malloc(10);
	}
	return unused;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	const int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, 4096))
		return 2;
	counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	const char *mode = argv[2];
	if (!strcmp(mode, "allocate"))
		allocate(UINT64_MAX, &counters[0], counted_malloc);
	else if (!strcmp(mode, "threads")) {
		pthread_t thread;
		pthread_create(&thread, NULL, allocate_in_thread, NULL);
		allocate(UINT64_MAX, &counters[0], counted_malloc);
	} else if (!strcmp(mode, "fork")) {
		for (;;) {
			allocate(50, &counters[0], counted_malloc);
			const pid_t child = fork();
			if (child == 0) {
				allocate(20, &counters[1], child_malloc);
				_exit(0);
			}
			waitpid(child, NULL, 0);
		}
	} else if (!strcmp(mode, "exit")) {
		allocate(2000, &counters[0], counted_malloc);
		return 0;
	} else
		return 2;
	return 0;
}
