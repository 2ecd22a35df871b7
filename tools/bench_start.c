/* SPDX-License-Identifier: MIT */
/*
 * The price of starting and ending a process.  Runs `true` many times, one after
 * another, and prints the median of the microseconds of real time that one takes.
 *
 *     bench_start [VARIABLE=VALUE...]    the variables are set for the processes only
 *
 * With LD_PRELOAD among them each process is the first of a tree; preloaded itself,
 * each is a later one.
 *
 * Context: benchmarks.
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_clock.h"

#define STARTS 80

static double now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	static char path[] = "/bin/true";
	char *child_argv[] = {path, NULL};
	double starts[STARTS] = {0};
	for (int i = -1; i < STARTS; i++) {
		double start = now_us();
		pid_t pid = fork();
		if (pid == 0) {
			for (int a = 1; a < argc; a++)
				putenv(argv[a]);
			execv(path, child_argv);
			_exit(127);
		}
		int status;
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			return 1;
		if (i >= 0) /* the first one warms up */
			starts[i] = now_us() - start;
	}
	printf("%.1f\n", bench_median(starts, STARTS));
	return 0;
}
