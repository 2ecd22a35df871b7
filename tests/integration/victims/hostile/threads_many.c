/* SPDX-License-Identifier: MIT */
/*
 * Threads by the thousand, one after the other or all at once, joined or detached, on the
 * smallest stacks there are.
 *
 *     threads_many churn|at-once COUNT
 *
 * Context: test program.
 */
#include <limits.h>
#include <pthread.h>

#include "hostile.h"

static pthread_barrier_t all_there;
static int ended;

static void *short_life(void *argument)
{
	hostile_allocates(1);
	__atomic_add_fetch(&ended, 1, __ATOMIC_RELEASE);
	return argument;
}

static void *long_life(void *argument)
{
	hostile_allocates(1);
	pthread_barrier_wait(&all_there);
	spin_cpu_ns(100000);
	__atomic_add_fetch(&ended, 1, __ATOMIC_RELEASE);
	return argument;
}

int main(int argc, char **argv)
{
	const int count = argument(argc, argv, 2, 1000);
	const int at_once = argc > 1 && !strcmp(argv[1], "at-once");
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, (size_t)sysconf(_SC_THREAD_STACK_MIN) + 8192);
	pthread_t *threads = (pthread_t *)calloc((size_t)count, sizeof *threads);
	long sum = 0;
	if (at_once)
		pthread_barrier_init(&all_there, NULL, (unsigned)count);
	for (int i = 0; i < count; i++) {
		const int error = pthread_create(&threads[i], &small, at_once ? long_life : short_life, (void *)(long)i);
		if (error) {
			say("thread %d: %s\n", i, strerrorname_np(error));
			return 2;
		}
		if (!at_once) {
			void *result = NULL;
			if (i % 4 == 3)
				pthread_detach(threads[i]);
			else
				pthread_join(threads[i], &result);
			sum += (long)result;
		}
	}
	for (int i = 0; at_once && i < count; i++) {
		void *result = NULL;
		pthread_join(threads[i], &result);
		sum += (long)result;
	}
	while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) < count)
		usleep(1000);
	say("ended %d sum %ld\nowes %d\n", ended, sum, count);
	return 0;
}
