/* SPDX-License-Identifier: MIT */
/*
 * An interposer of pthread_cond_wait whose symbol has no version, as most are: says at
 * the end whether it was called.
 *
 * Context: preloaded into test programs.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static int calls;

int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	int (*next)(pthread_cond_t *, pthread_mutex_t *) =
		(int (*)(pthread_cond_t *, pthread_mutex_t *))dlvsym(RTLD_NEXT, "pthread_cond_wait", "GLIBC_2.3.2");
	calls++;
	return next(cond, mutex);
}

__attribute__((destructor)) static void say(void)
{
	printf("interposed %s\n", calls ? "yes" : "no");
}
