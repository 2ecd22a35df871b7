/* SPDX-License-Identifier: MIT */
/*
 * Threads that contend for the clock's lock (libother_clock.c) and for one of their own,
 * which is held for HELD_MS while another waits.
 *
 * Context: test program.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define CALLS 20000
#define HELD_MS 200

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_int waiting;

static void *ask(void *unused)
{
	struct timespec now;
	for (int i = 0; i < CALLS; i++)
		clock_gettime(CLOCK_MONOTONIC, &now);
	return unused;
}

static void *wait_once(void *unused)
{
	waiting = 1;
	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&mutex);
	return unused;
}

int main(void)
{
	pthread_t threads[4];
	struct timespec held = {.tv_nsec = HELD_MS * 1000000L};
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, ask, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_lock(&mutex);
	pthread_create(&threads[0], NULL, wait_once, NULL);
	while (!waiting)
		;
	nanosleep(&held, NULL);
	pthread_mutex_unlock(&mutex);
	pthread_join(threads[0], NULL);
	puts("done");
	return 0;
}
