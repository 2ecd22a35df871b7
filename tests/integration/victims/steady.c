/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls
/*
 * A plain program: burns CPU, allocates, says so, ends.
 *
 *     steady MILLISECONDS [STATUS [wait]]
 *
 * Allocates 1000 blocks of 100 bytes in steady_allocates, keeps 600, burns CPU in
 * steady_work.  With `wait` it then says "ready PID" and sleeps until a signal ends
 * it or its standard input ends.
 *
 * Context: test program.
 */
#include "victim.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *volatile blocks[1000];

FRAME void steady_allocates(void)
{
	for (int i = 0; i < 1000; i++)
		blocks[i] = malloc(100);
	for (int i = 0; i < 400; i++)
		free(blocks[i]);
}

FRAME int64_t steady_work(int64_t ns) { return spin_cpu_ns(ns); }

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	steady_allocates();
	steady_work(strtoll(argv[1], NULL, 10) * 1000000);
	printf("done\n");
	fflush(stdout);
	if (argc > 3) {
		printf("ready %d\n", (int)getpid());
		fflush(stdout);
		char c;
		while (read(0, &c, 1) > 0)
			;
	}
	return argc > 2 ? atoi(argv[2]) : 0;
}
