/* SPDX-License-Identifier: MIT */
/* N threads that wait for one semaphore, then end; prints how many waits ended as they should. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static sem_t gate;
static atomic_int good;

static __attribute__((noinline, noclone)) void *wait_at_the_gate(void *unused)
{
	if (sem_wait(&gate) == 0)
		good++;
	return unused;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 100;
	pthread_t *threads = calloc((size_t)count, sizeof *threads);
	pthread_attr_t attributes;
	sigset_t set;
	int number;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 128 * 1024);
	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[i], &attributes, wait_at_the_gate, NULL))
			return 2;
	printf("ready\n");
	fflush(stdout);
	sigwait(&set, &number);
	for (int i = 0; i < count; i++)
		sem_post(&gate);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("good %d\n", good);
	return good != count;
}
