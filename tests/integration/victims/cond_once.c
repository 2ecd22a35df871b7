/* SPDX-License-Identifier: MIT */
/*
 * One wait for a condition variable.
 *
 * Context: test program.
 */
#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int is_set;

static void *set(void *unused)
{
	pthread_mutex_lock(&mutex);
	is_set = 1;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&mutex);
	return unused;
}

int main(void)
{
	pthread_t thread;
	pthread_mutex_lock(&mutex);
	pthread_create(&thread, NULL, set, NULL);
	while (!is_set)
		pthread_cond_wait(&cond, &mutex);
	pthread_mutex_unlock(&mutex);
	return pthread_join(thread, NULL);
}
