/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls
/*
 * Allocates 500 blocks of 60 bytes in last_words, frees 120, and ends in the way asked for.
 *
 *     exit_paths WAY
 *
 * Context: test program.
 */
#include "victim.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *volatile blocks[500];
static volatile int *nowhere;

FRAME void last_words(void)
{
	for (int i = 0; i < 500; i++)
		blocks[i] = malloc(60);
	for (int i = 0; i < 120; i++)
		free(blocks[i]);
}

FRAME void allocates_at_exit(void)
{
	blocks[0] = malloc(70);
}

static void *thread_exits(void *unused)
{
	last_words();
	exit(45);
	return unused;
}

static void *thread_outlives(void *unused)
{
	usleep(100000); /* main is gone by then, or goes soon: either way the process ends here */
	last_words();
	return unused;
}

static void *thread_hangs(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void on_term(int signal)
{
	(void)signal;
	_exit(46);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	const char *way = argv[1];
	pthread_t thread;
	if (!strcmp(way, "thread-exit")) {
		pthread_create(&thread, NULL, thread_exits, NULL);
		pthread_join(thread, NULL);
	}
	if (!strcmp(way, "main-pthread-exit")) {
		pthread_create(&thread, NULL, thread_outlives, NULL);
		pthread_exit(NULL);
	}
	last_words();
	if (!strcmp(way, "return"))
		return 40;
	if (!strcmp(way, "exit"))
		exit(41);
	if (!strcmp(way, "exit-other-thread-alive")) {
		pthread_create(&thread, NULL, thread_hangs, NULL);
		exit(47);
	}
	if (!strcmp(way, "atexit")) {
		atexit(allocates_at_exit);
		exit(48);
	}
	if (!strcmp(way, "_exit"))
		_exit(42);
	if (!strcmp(way, "_Exit"))
		_Exit(49);
	if (!strcmp(way, "raw-exit-group"))
		syscall(SYS_exit_group, 50);
	if (!strcmp(way, "quick_exit"))
		quick_exit(43);
	if (!strcmp(way, "abort"))
		abort();
	if (!strcmp(way, "segv"))
		**(volatile int *volatile *)&nowhere = 1;
	if (!strcmp(way, "trap"))
		__builtin_trap();
	if (!strcmp(way, "term"))
		raise(SIGTERM);
	if (!strcmp(way, "kill"))
		raise(SIGKILL);
	if (!strcmp(way, "int"))
		raise(SIGINT);
	if (!strcmp(way, "term-handler")) {
		signal(SIGTERM, on_term);
		raise(SIGTERM);
	}
	if (!strcmp(way, "exec"))
		execl("/bin/sh", "sh", "-c", "exit 44", (char *)NULL);
	if (!strcmp(way, "exec-fails")) {
		execl("/nonexistent", "x", (char *)NULL);
		last_words();
		return 51;
	}
	return 2;
}
