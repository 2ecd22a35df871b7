/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls
/*
 * Allocates once from each of N different stacks, and frees.
 *
 *     many_stacks N
 *
 * Context: test program.
 */
#include "hostile.h"

static FRAME void left(unsigned path, int depth);
static FRAME void right(unsigned path, int depth);

static FRAME void arrives(void)
{
	free(malloc(10));
	NO_TAIL_CALL();
}

static inline void goes_on(unsigned path, int depth)
{
	if (depth == 0)
		arrives();
	else if (path & 1)
		left(path >> 1, depth - 1);
	else
		right(path >> 1, depth - 1);
	NO_TAIL_CALL();
}

static FRAME void left(unsigned path, int depth)
{
	goes_on(path, depth);
}

static FRAME void right(unsigned path, int depth)
{
	goes_on(path, depth);
}

int main(int argc, char **argv)
{
	const int count = argument(argc, argv, 1, 10000);
	hostile_works(); /* first: later there may be no room for its stack */
	for (int i = 0; i < count; i++)
		goes_on((unsigned)i, 20);
	say("stacks %d\n", count);
	return 0;
}
