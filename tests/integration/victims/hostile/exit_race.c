/* SPDX-License-Identifier: MIT */
/*
 * Ends while eight threads, one of them from a constructor, allocate, free, start threads
 * and take locks: by return, by exit in a thread, or by _exit.
 *
 *     exit_race return|thread|_exit
 *
 * Context: test program.
 */
#include <pthread.h>

#include "hostile.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *empty(void *unused)
{
	return unused;
}

static void *busy(void *unused)
{
	for (uint64_t i = 0, state = 88172645463325252u;; i++) {
		void *block = malloc(random_next(&state) % 3000);
		pthread_mutex_lock(&mutex);
		spin_briefly();
		pthread_mutex_unlock(&mutex);
		free(block);
		pthread_t thread;
		if (i % 50 == 0 && pthread_create(&thread, NULL, empty, NULL) == 0)
			pthread_detach(thread);
	}
	return unused;
}

__attribute__((constructor)) static void starts_a_thread(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, busy, NULL);
}

static void *ends(void *unused)
{
	exit(6);
	return unused;
}

int main(int argc, char **argv)
{
	const char *way = argc > 1 ? argv[1] : "return";
	pthread_t thread;
	for (int i = 0; i < 7; i++)
		pthread_create(&thread, NULL, busy, NULL);
	hostile_works();
	if (!strcmp(way, "_exit"))
		_exit(8);
	if (!strcmp(way, "thread")) {
		pthread_create(&thread, NULL, ends, NULL);
		pthread_join(thread, NULL);
	}
	return 7;
}
