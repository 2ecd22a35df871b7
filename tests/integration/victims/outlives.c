/* SPDX-License-Identifier: MIT */
/*
 * Processes that allocate, wait for the end of their standard input, and allocate again: what
 * becomes of their collector meanwhile is not their business.
 *
 *     outlives CHILDREN THREADS [BURN_MS [FILE_BYTES]]
 *
 * Prints "owes N" for the blocks of outlives_allocates() in all processes, and "ready" when
 * all wait.  Each process has so many more threads, and burns that much before its end.  With
 * FILE_BYTES no file may become larger from then on (0: no more than that even by asking).
 *
 * Context: test program.
 */
#include "victim.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define BEFORE 700
#define AFTER 90

static long file_bytes;

static FRAME void outlives_allocates(int blocks)
{
	static __thread void *volatile kept;
	for (int i = 0; i < blocks; i++) {
		void **block = malloc(100);
		*block = kept;
		kept = block;
	}
	NO_TAIL_CALL();
}

static void wait_for_end_of_input(void)
{
	char c;
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
}

static void *thread_lives(void *unused)
{
	outlives_allocates(BEFORE);
	wait_for_end_of_input();
	outlives_allocates(AFTER);
	return unused;
}

static void live(int threads, int ready_fd, int burn_ms)
{
	pthread_t others[16];
	outlives_allocates(BEFORE);
	for (int i = 0; i < threads; i++)
		pthread_create(&others[i], NULL, thread_lives, NULL);
	if (file_bytes >= 0) {
		rlim_t bytes = (rlim_t)file_bytes;
		struct rlimit limit = {.rlim_cur = bytes ? bytes : 4096, .rlim_max = bytes ? RLIM_INFINITY : 4096};
		setrlimit(RLIMIT_FSIZE, &limit);
	}
	if (write(ready_fd, "r", 1) != 1)
		exit(9);
	wait_for_end_of_input();
	outlives_allocates(AFTER);
	spin_cpu_ns((int64_t)burn_ms * 1000000);
	for (int i = 0; i < threads; i++)
		pthread_join(others[i], NULL);
}

int main(int argc, char **argv)
{
	int children = atoi(argv[1]), threads = atoi(argv[2]), burn_ms = argc > 3 ? atoi(argv[3]) : 0;
	int ready[2];
	if (threads > 16 || pipe(ready))
		return 9;
	file_bytes = argc > 4 ? atol(argv[4]) : -1;
	for (int i = 0; i < children; i++)
		if (fork() == 0) {
			live(threads, ready[1], burn_ms);
			exit(0);
		}
	for (int i = 0; i < children; i++) {
		char c;
		if (read(ready[0], &c, 1) != 1)
			return 9;
	}
	printf("owes %d\nready\n", (children + 1) * (threads + 1) * (BEFORE + AFTER));
	fflush(stdout);
	live(threads, ready[1], burn_ms);
	for (int i = 0; i < children; i++)
		wait(NULL);
	return 5;
}
