/* SPDX-License-Identifier: MIT */
// cflags: -fsplit-stack -fuse-ld=gold
/*
 * Stacks that grow by pieces from wherever memory is, in threads.  Context: test program.
 */
#include <pthread.h>

#include "hostile.h"

static FRAME long dives(int depth)
{
	volatile char room[2000];
	room[depth % 2000] = 1;
	if (depth % 100 == 0)
		free(malloc(200));
	return depth ? dives(depth - 1) + room[depth % 2000] : 0;
}

static void *many_dives(void *out_sum)
{
	long sum = 0;
	for (int i = 0; i < 40; i++)
		sum += dives(2000);
	__atomic_add_fetch((long *)out_sum, sum, __ATOMIC_RELAXED);
	return NULL;
}

int main(void)
{
	long sum = 0;
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	pthread_t threads[3];
	for (int i = 0; i < 3; i++)
		if (pthread_create(&threads[i], &small, many_dives, &sum))
			return 2;
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	say("sum %ld\n", sum);
	hostile_works();
	return 0;
}
