/* SPDX-License-Identifier: MIT */
/*
 * Allocates and frees N times, in two threads.
 *
 *     many_samples N
 *
 * Context: test program.
 */
#include <pthread.h>

#include "hostile.h"

static int count;

static FRAME void *half(void *unused)
{
	for (int i = 0; i < count / 2; i++)
		free(malloc((size_t)i % 500));
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	count = argument(argc, argv, 1, 100000);
	pthread_create(&thread, NULL, half, NULL);
	half(NULL);
	pthread_join(thread, NULL);
	hostile_works();
	return 0;
}
