/* SPDX-License-Identifier: MIT */
/*
 * A clock of its own, as libfaketime is one: it takes the place of clock_gettime, locks a
 * mutex at each call, and tells a time that never moves.
 *
 * Context: preloaded into test programs.
 */
#include <pthread.h>
#include <time.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

int clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	pthread_mutex_lock(&mutex);
	*now = (struct timespec){.tv_sec = 1000};
	for (volatile int i = 0; i < 100; i++)
		;
	pthread_mutex_unlock(&mutex);
	return 0;
}
