/* SPDX-License-Identifier: MIT */
// cflags: -fno-optimize-sibling-calls
/*
 * Threads by the thousand.
 *
 *     thread_churn TOTAL AT_ONCE [cancel]
 *
 * Each allocates 3 blocks of 40 bytes in churn_allocates and frees one; at most
 * AT_ONCE live together (they wait for each other, so that many do live together).
 * With `cancel` they then wait for ever, are cancelled, and allocate one block more
 * of 40 bytes in churn_destroys, a destructor of thread-specific data.
 * Prints "threads N", "objects N", "inuse N", "sum N" (their return values).
 *
 * Context: test program.
 */
#include "victim.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_barrier_t together;

FRAME void *churn_allocates(void) { return malloc(40); }

static __thread int own_number = -1;
static int is_cancelled;
static pthread_key_t key;

FRAME void *churn_destroys(void) { return malloc(40); }

static void destroy(void *unused)
{
	(void)unused;
	churn_destroys();
	NO_TAIL_CALL();
}

static void *churn(void *argument)
{
	own_number = (int)(intptr_t)argument;
	churn_allocates();
	void *volatile mine = churn_allocates();
	pthread_barrier_wait(&together);
	free(mine);
	churn_allocates();
	if (is_cancelled) {
		pthread_setspecific(key, &key);
		for (;;)
			pause();
	}
	return (void *)(intptr_t)own_number;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	is_cancelled = argc > 3;
	pthread_key_create(&key, destroy);
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
			if (is_cancelled)
				pthread_cancel(threads[i]);
			pthread_join(threads[i], &result);
			sum += result == PTHREAD_CANCELED ? 1 : (intptr_t)result;
		}
		pthread_barrier_destroy(&together);
	}
	printf("threads %d\nobjects %d\ninuse %d\nsum %ld\n", total, 3 * total, 2 * total, sum);
	return 0;
}
