/* SPDX-License-Identifier: MIT */
/*
 * Threads that come and go between the CPU and a call that no stop restarts, with a
 * signal pending that all of them block.
 *
 *     short_calls SECONDS
 *
 * Prints "ready", and at the end how many calls were interrupted: there is no reason for one.
 *
 * Context: test program.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8

static atomic_bool is_over;
static atomic_int interrupted;

static void *run(void *unused)
{
	struct epoll_event event;
	int epoll = epoll_create1(0);
	while (!is_over) {
		for (volatile int i = 0; i < 40000; i++)
			;
		if (epoll_wait(epoll, &event, 1, 1) < 0 && errno == EINTR)
			interrupted++;
	}
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	struct timespec left = {.tv_sec = argc > 1 ? atoi(argv[1]) : 3};
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGUSR2);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, run, NULL);
	printf("ready\n");
	fflush(stdout);
	nanosleep(&left, NULL);
	is_over = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	printf("interrupted %d\n", interrupted);
	return 0;
}
