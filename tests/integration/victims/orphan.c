/* SPDX-License-Identifier: MIT */
/*
 * A process whose parent has ended; it begins to record when it is told to.
 *
 *     orphan BURN_MS
 *
 * The parent allocates a block.  On a byte from its standard input the child allocates 30 in orphan_allocates(),
 * uses that much CPU time, and is killed, so that nothing happens at its end.
 *
 * Context: test program.
 */
#include "victim.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static FRAME void orphan_allocates(int blocks)
{
	static void *volatile kept;
	for (int i = 0; i < blocks; i++)
		kept = malloc(100);
	NO_TAIL_CALL();
}

int main(int argc, char **argv)
{
	const int burn_ms = argc > 1 ? atoi(argv[1]) : 0;
	char c;
	if (fork() > 0) {
		orphan_allocates(1);
		return 0;
	}
	if (read(STDIN_FILENO, &c, 1) != 1)
		return 9;
	orphan_allocates(30);
	spin_cpu_ns((int64_t)burn_ms * 1000000);
	raise(SIGKILL);
	return 9;
}
