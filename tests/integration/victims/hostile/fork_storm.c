/* SPDX-License-Identifier: MIT */
/*
 * Forks from many threads at once, while others allocate and take locks; the children use
 * what was copied, allocate, and end.
 *
 *     fork_storm CHILDREN_PER_THREAD
 *
 * Context: test program.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "hostile.h"

#define FORKERS 4

static int children, is_over, failures;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void before(void)
{
	pthread_mutex_lock(&mutex);
}
static void after(void)
{
	pthread_mutex_unlock(&mutex);
}

static void *busy(void *unused)
{
	while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
		void *block = malloc(300);
		pthread_mutex_lock(&mutex);
		spin_briefly();
		pthread_mutex_unlock(&mutex);
		free(realloc(block, 5000));
	}
	return unused;
}

static void *child_thread(void *unused)
{
	hostile_allocates(1);
	return unused;
}

static void *forks(void *unused)
{
	char *copied = strdup("copied");
	for (int i = 0; i < children; i++) {
		const pid_t child = fork();
		if (child == 0) {
			pthread_t thread;
			hostile_allocates(2);
			pthread_mutex_lock(&mutex);
			if (pthread_create(&thread, NULL, child_thread, NULL) || pthread_join(thread, NULL))
				_exit(2);
			pthread_mutex_unlock(&mutex);
			free(copied);
			_exit(41);
		}
		int status = 0;
		if (child < 0 || waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 41)
			__atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
	}
	return unused;
}

int main(int argc, char **argv)
{
	children = argument(argc, argv, 1, 20);
	pthread_atfork(before, after, after);
	pthread_t workers[2], forkers[FORKERS];
	for (int i = 0; i < 2; i++)
		pthread_create(&workers[i], NULL, busy, NULL);
	for (int i = 0; i < FORKERS; i++)
		pthread_create(&forkers[i], NULL, forks, NULL);
	for (int i = 0; i < FORKERS; i++)
		pthread_join(forkers[i], NULL);
	__atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++)
		pthread_join(workers[i], NULL);
	say("failures %d\nowes %d\n", failures, FORKERS * children * 3);
	hostile_works();
	return 0;
}
