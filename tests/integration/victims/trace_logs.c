// SPDX-License-Identifier: MIT
// cflags: -Iinclude
/*
 * trace_logs THREADS LINES PAUSE_US END [FILE]: each thread logs its lines, "t0 n0" and so
 * on, with cprof_log(), and says in FILE, a table of 64-bit numbers, how many it has logged.
 * A pause with a minus sign is spent working: of CPU samples there are as many as can be.
 *
 * END: exit; raw (exit_group, past libc); segv, abort, term (by itself); memory (takes
 * 512 MB, or is killed before); hang (until it is killed); forked (a child does the same, and both
 * exit).
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cprof.h"

#define THREADS_MAX 64

static volatile unsigned long *logged;
static unsigned long line_count;
static long pause_us;

static long cpu_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void pause_between_lines(void)
{
	if (pause_us > 0)
		usleep((unsigned)pause_us);
	for (long until = cpu_us() - pause_us; pause_us < 0 && cpu_us() < until;)
		;
}

static void *log_lines(void *argument)
{
	unsigned long number = (unsigned long)argument;
	char name[16];
	snprintf(name, sizeof name, "logger %u", (unsigned)number);
	pthread_setname_np(pthread_self(), name);
	for (unsigned long i = 0; i < line_count; i++) {
		cprof_logf("count", "t%lu n%lu", number, i);
		logged[number] = i + 1;
		pause_between_lines();
	}
	return NULL;
}

static void log_all(unsigned long thread_count)
{
	pthread_t threads[THREADS_MAX];
	for (unsigned long i = 0; i < thread_count; i++)
		pthread_create(&threads[i], NULL, log_lines, (void *)i);
	for (unsigned long i = 0; i < thread_count; i++)
		pthread_join(threads[i], NULL);
}

static void *map_table(const char *path)
{
	size_t size = THREADS_MAX * sizeof(unsigned long);
	int fd = path ? open(path, O_RDWR | O_CREAT, 0600) : -1;
	if (fd >= 0 && ftruncate(fd, (off_t)size) != 0)
		perror(path);
	void *table = mmap(NULL, size, PROT_READ | PROT_WRITE, fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED,
			   fd, 0);
	if (fd >= 0)
		close(fd);
	return table;
}

static void end(const char *how)
{
	if (strcmp(how, "raw") == 0)
		syscall(SYS_exit_group, 0);
	if (strcmp(how, "segv") == 0)
		*(volatile int *)8 = 1;
	if (strcmp(how, "abort") == 0)
		abort();
	if (strcmp(how, "term") == 0)
		raise(SIGTERM);
	for (int taken = 0; strcmp(how, "memory") == 0 && taken < 512; taken++)
		memset(malloc(1 << 20), 1, 1 << 20);
	while (strcmp(how, "hang") == 0)
		pause();
}

int main(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	unsigned long thread_count = strtoul(argv[1], NULL, 10);
	line_count = strtoul(argv[2], NULL, 10);
	pause_us = strtol(argv[3], NULL, 10);
	logged = map_table(argc > 5 ? argv[5] : NULL);
	pid_t child = strcmp(argv[4], "forked") == 0 ? fork() : 0;
	log_all(thread_count);
	if (child > 0)
		waitpid(child, NULL, 0);
	printf("logged %lu\n", thread_count * line_count);
	fflush(stdout);
	end(argv[4]);
	return 0;
}
