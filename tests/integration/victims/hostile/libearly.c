/* SPDX-License-Identifier: MIT */
/*
 * A library that allocates and starts a thread before anybody's constructor, and allocates
 * after nearly everybody's destructor.  Context: test program.
 */
#include <pthread.h>

#include "hostile.h"

void early_use(void);

static pthread_t thread;

static void *early_thread(void *unused)
{
	hostile_allocates(10);
	return unused;
}

__attribute__((constructor(101))) static void before_all(void)
{
	hostile_allocates(5);
	void *block = calloc(3, 7);
	block = realloc(block, 4000);
	free(block);
	say("library comes: thread %d\n", pthread_create(&thread, NULL, early_thread, NULL));
}

__attribute__((destructor(101))) static void after_all(void)
{
	hostile_allocates(5);
	free(malloc(100000));
	say("library goes\n");
}

void early_use(void)
{
	say("joined %d\n", pthread_join(thread, NULL));
}
