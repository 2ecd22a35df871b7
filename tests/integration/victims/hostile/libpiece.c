/* SPDX-License-Identifier: MIT */
/*
 * A library to load and unload: allocates for itself and its caller, has thread-local data.
 *
 * Context: test program.
 */
#include <pthread.h>

#include "hostile.h"

int piece_use(void);
void *piece_gives(void);

static __thread int uses;
static char *own;

__attribute__((constructor)) static void comes(void)
{
	own = strdup("the library's own");
}

__attribute__((destructor)) static void goes(void)
{
	free(own);
}

static void *in_thread(void *unused)
{
	uses += 5;
	free(malloc(40));
	return unused;
}

int piece_use(void)
{
	pthread_t thread;
	free(malloc(50));
	spin_briefly();
	if (pthread_create(&thread, NULL, in_thread, NULL) == 0)
		pthread_join(thread, NULL);
	return ++uses + (int)strlen(own);
}

void *piece_gives(void)
{
	return malloc(123);
}
