/* SPDX-License-Identifier: MIT */
/*
 * Overflows the stack, handles that on an alternate stack of the smallest size there is,
 * and goes on: again and again, in the main thread and in others.
 *
 * Context: test program.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "hostile.h"

static __thread sigjmp_buf back;

static void on_overflow(int signal)
{
	siglongjmp(back, signal);
}

static FRAME int dives(int depth)
{
	volatile char room[1024];
	room[depth % 1024] = (char)depth;
	return depth < 0 ? 0 : dives(depth + 1) + room[depth % 1024];
}

static void *overflows(void *out_count)
{
	const size_t smallest = getauxval(AT_MINSIGSTKSZ) + 512;
	stack_t alternate = {.ss_sp = malloc(smallest), .ss_size = smallest}, old;
	if (sigaltstack(&alternate, NULL))
		say("sigaltstack: %s\n", strerrorname_np(errno));
	for (volatile int i = 0; i < 30; i++)
		if (sigsetjmp(back, 1) == 0)
			dives(0);
		else
			__atomic_add_fetch((int *)out_count, 1, __ATOMIC_RELAXED);
	sigaltstack(NULL, &old);
	if (old.ss_sp != alternate.ss_sp || old.ss_size != smallest || old.ss_flags)
		say("the alternate stack is another\n");
	alternate.ss_flags = SS_DISABLE;
	sigaltstack(&alternate, NULL);
	free(alternate.ss_sp);
	return NULL;
}

int main(void)
{
	const struct rlimit little = {1 << 20, 1 << 20};
	setrlimit(RLIMIT_STACK, &little);
	struct sigaction action = {0};
	action.sa_handler = on_overflow;
	action.sa_flags = SA_ONSTACK;
	sigaction(SIGSEGV, &action, NULL);
	int count = 0;
	overflows(&count);
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 131072);
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], &small, overflows, &count);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	say("overflows %d\n", count);
	const stack_t too_small = {.ss_sp = malloc(100), .ss_size = 100};
	say("too small: %s\n", outcome(sigaltstack(&too_small, NULL)));
	hostile_works();
	return 0;
}
