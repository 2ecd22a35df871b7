/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls
/*
 * Threads by the thousand.
 *
 *     thread_churn TOTAL AT_ONCE
 *
 * Each allocates 3 blocks of 40 bytes in churn_allocates and frees one; at most
 * AT_ONCE live together (they wait for each other, so that many do live together).
 * Prints "threads N", "objects N", "inuse N", "sum N" (their return values).
 *
 * Context: test program.
 */
#include "victim.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_barrier_t together;

FRAME void *churn_allocates(void) { return malloc(40); }

static __thread int own_number = -1;

static void *churn(void *argument)
{
	own_number = (int)(intptr_t)argument;
	churn_allocates();
	void *volatile mine = churn_allocates();
	pthread_barrier_wait(&together);
	free(mine);
	churn_allocates();
	return (void *)(intptr_t)own_number;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	const int total = atoi(argv[1]), at_once = atoi(argv[2]);
	static pthread_t threads[10000];
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	long sum = 0;
	for (int done = 0; done < total; done += at_once) {
		pthread_barrier_init(&together, NULL, (unsigned)at_once);
		for (int i = 0; i < at_once; i++)
			if (pthread_create(&threads[i], &attributes, churn, (void *)(intptr_t)(done + i)))
				return 3;
		for (int i = 0; i < at_once; i++) {
			void *result;
			pthread_join(threads[i], &result);
			sum += (intptr_t)result;
		}
		pthread_barrier_destroy(&together);
	}
	printf("threads %d\nobjects %d\ninuse %d\nsum %ld\n", total, 3 * total, 2 * total, sum);
	return 0;
}
