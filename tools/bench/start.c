/* SPDX-License-Identifier: MIT */
/*
 * The price of starting and ending a process.  Runs `true` COUNT times, one after
 * another.  Prints
 *
 *     us       real time that one takes, the median
 *
 *     start COUNT [VARIABLE=VALUE...]    the variables are set for the processes only
 *
 * With LD_PRELOAD among them each process is the first of a tree; preloaded itself,
 * each is a later one.
 *
 * Context: benchmarks.
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

#define STARTS_MAX 10000

int main(int argc, char **argv)
{
	static char path[] = "/bin/true";
	char *child_argv[] = {path, NULL};
	static double starts[STARTS_MAX];
	int count = argc > 1 ? atoi(argv[1]) : 0;
	if (count < 1 || count > STARTS_MAX)
		return 2;
	for (int i = -1; i < count; i++) {
		uint64_t start_ns = bench_wall_ns();
		pid_t pid = fork();
		if (pid == 0) {
			for (int a = 2; a < argc; a++)
				putenv(argv[a]);
			execv(path, child_argv);
			_exit(127);
		}
		int status;
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			return 1;
		if (i >= 0) /* the first one warms up */
			starts[i] = (double)(bench_wall_ns() - start_ns) / 1e3;
	}
	printf("us %.1f\n", bench_median(starts, (size_t)count));
	return 0;
}
