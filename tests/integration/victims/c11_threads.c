/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls
/*
 * Threads of <threads.h>: one returns, one leaves by thrd_exit; both work and allocate.
 *
 * Context: test program.
 */
#include "victim.h"

#include <stdio.h>
#include <stdlib.h>
#include <threads.h>

static void *volatile blocks[2][10];

FRAME int64_t c11_work(void) { return spin_cpu_ns(200000000); }

FRAME void c11_allocates(int which)
{
	for (int i = 0; i < 10; i++)
		blocks[which][i] = malloc(300);
}

static int returns(void *argument)
{
	c11_work();
	c11_allocates(0);
	return *(int *)argument;
}

static int leaves(void *argument)
{
	c11_work();
	c11_allocates(1);
	thrd_exit(*(int *)argument);
}

int main(void)
{
	thrd_t threads[2];
	int arguments[2] = {-7, 0x7fffffff}, results[2] = {0, 0};
	if (thrd_create(&threads[0], returns, &arguments[0]) != thrd_success ||
	    thrd_create(&threads[1], leaves, &arguments[1]) != thrd_success)
		return 9;
	for (int i = 0; i < 2; i++)
		if (thrd_join(threads[i], &results[i]) != thrd_success)
			return 8;
	printf("results %d %d\n", results[0], results[1]);
	return 3;
}
