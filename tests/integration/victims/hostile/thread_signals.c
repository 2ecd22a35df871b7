/* SPDX-License-Identifier: MIT */
/*
 * pthread_kill to threads that wait in every way, and a storm of queued signals to threads
 * that allocate: each is delivered, waits go on or end with EINTR as the calls promise, and
 * errno is kept.
 *
 * Context: test program.
 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include "hostile.h"

#define STORM 20000
#define WORKERS 3

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static int go_on, interrupted, handled, stormed, errors;

static void on_usr2(int signal)
{
	(void)signal;
	errno = EXFULL;
	__atomic_add_fetch(&handled, 1, __ATOMIC_RELAXED);
	errno = EXFULL;
}

static void on_storm(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	__atomic_add_fetch(&stormed, info->si_value.sival_int, __ATOMIC_RELAXED);
}

static void *waits_cond(void *unused)
{
	pthread_mutex_lock(&mutex);
	while (!go_on)
		if (pthread_cond_wait(&condition, &mutex))
			errors++;
	pthread_mutex_unlock(&mutex);
	return unused;
}

static void *waits_sem(void *out_error)
{
	*(const char **)out_error = outcome(sem_wait(&semaphore));
	__atomic_store_n(&interrupted, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void *waits_mutex(void *unused)
{
	if (pthread_mutex_lock(&mutex))
		errors++;
	pthread_mutex_unlock(&mutex);
	return unused;
}

static void *works(void *stop)
{
	while (!__atomic_load_n((int *)stop, __ATOMIC_ACQUIRE)) {
		void *blocks[20];
		for (int i = 0; i < 20; i++)
			blocks[i] = malloc((size_t)i * 50 + 1);
		for (int i = 0; i < 20; i++)
			free(blocks[i]);
		errno = ENOTTY;
		free(malloc(10));
		if (errno != ENOTTY)
			__atomic_add_fetch(&errors, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void pester(pthread_t thread)
{
	for (int i = 0; i < 50; i++) {
		const int before = __atomic_load_n(&handled, __ATOMIC_ACQUIRE);
		pthread_kill(thread, SIGUSR2);
		while (__atomic_load_n(&handled, __ATOMIC_ACQUIRE) == before)
			usleep(50);
	}
}

int main(void)
{
	struct sigaction action = {0};
	action.sa_handler = on_usr2;
	sigaction(SIGUSR2, &action, NULL);
	action.sa_sigaction = on_storm;
	action.sa_flags = SA_SIGINFO | SA_RESTART;
	sigaction(SIGRTMIN + 3, &action, NULL);
	pthread_t thread;
	const char *error = "none";

	pthread_create(&thread, NULL, waits_cond, NULL);
	pester(thread);
	pthread_mutex_lock(&mutex);
	go_on = 1;
	pthread_cond_broadcast(&condition);
	pthread_mutex_unlock(&mutex);
	pthread_join(thread, NULL);
	say("cond: handled %d\n", handled);

	sem_init(&semaphore, 0, 0);
	pthread_create(&thread, NULL, waits_sem, &error);
	/* Again and again: a signal that comes before the wait does not end it. */
	while (!__atomic_load_n(&interrupted, __ATOMIC_ACQUIRE)) {
		pthread_kill(thread, SIGUSR2);
		usleep(1000);
	}
	pthread_join(thread, NULL);
	say("sem: %s\n", error);

	handled = 0;
	pthread_mutex_lock(&mutex);
	pthread_create(&thread, NULL, waits_mutex, NULL);
	pester(thread);
	pthread_mutex_unlock(&mutex);
	pthread_join(thread, NULL);
	say("mutex: handled %d\n", handled);

	int stop = 0, refused = 0;
	pthread_t workers[WORKERS];
	for (int i = 0; i < WORKERS; i++)
		pthread_create(&workers[i], NULL, works, &stop);
	for (int i = 0; i < STORM; i++) {
		const union sigval one = {.sival_int = 1};
		while (pthread_sigqueue(workers[i % WORKERS], SIGRTMIN + 3, one))
			if (++refused > 10000000)
				return 3;
	}
	hostile_works();
	while (__atomic_load_n(&stormed, __ATOMIC_ACQUIRE) < STORM)
		usleep(1000);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(workers[i], NULL);
	say("storm: %d, errors %d\n", stormed, errors);
	return 0;
}
