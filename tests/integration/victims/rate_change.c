/* SPDX-License-Identifier: MIT */
/*
 * Does what it is told on its standard input, one line each, and answers "done":
 *
 *     alloc SITE COUNT SIZE   allocates COUNT blocks of SIZE bytes, keeps every other one
 *     burn SITE MS            uses MS milliseconds of CPU time
 *     wait COUNT MS           COUNT times waits about MS milliseconds for a lock that another thread holds
 *
 * Sites are 1 to 5, functions of their own.  At the end of its input it says what it
 * used: burn_SITE and clock, in nanoseconds.
 *
 * Context: test programs.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "victim.h"

#define SITES 5

static int64_t burnt_ns[SITES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t is_held;

#define SITE(n)                                                   \
	FRAME static void alloc_##n(long count, size_t size)      \
	{                                                         \
		for (long i = 0; i < count; i++) {                \
			void *block = malloc(size);               \
			__asm__ volatile("" ::"r"(block) : "memory"); \
			if (i % 2)                                \
				free(block);                      \
		}                                                 \
	}                                                         \
	FRAME static void burn_##n(int64_t ns)                    \
	{                                                         \
		burnt_ns[n - 1] += spin_cpu_ns(ns);               \
	}
SITE(1)
SITE(2)
SITE(3)
SITE(4)
SITE(5)

static void (*const allocs[SITES])(long, size_t) = {alloc_1, alloc_2, alloc_3, alloc_4, alloc_5};
static void (*const burns[SITES])(int64_t) = {burn_1, burn_2, burn_3, burn_4, burn_5};

FRAME static void *hold(void *ms)
{
	pthread_mutex_lock(&lock);
	pthread_barrier_wait(&is_held);
	/* Held until the other waits, however late it comes: glibc's mutexes are 2 then. */
	while (__atomic_load_n(&lock.__data.__lock, __ATOMIC_RELAXED) != 2)
		usleep(100);
	usleep(*(const useconds_t *)ms * 1000);
	pthread_mutex_unlock(&lock);
	NO_TAIL_CALL();
	return NULL;
}

FRAME static void wait_for_lock(long count, useconds_t ms)
{
	for (long i = 0; i < count; i++) {
		pthread_t holder;
		pthread_create(&holder, NULL, hold, &ms);
		pthread_barrier_wait(&is_held);
		pthread_mutex_lock(&lock);
		pthread_mutex_unlock(&lock);
		pthread_join(holder, NULL);
	}
}

int main(void)
{
	char line[128];
	setvbuf(stdout, NULL, _IOLBF, 0);
	pthread_barrier_init(&is_held, NULL, 2);
	puts("ready");
	while (fgets(line, sizeof line, stdin)) {
		long a, b, c;
		if (sscanf(line, "alloc %ld %ld %ld", &a, &b, &c) == 3)
			allocs[a - 1](b, (size_t)c);
		else if (sscanf(line, "burn %ld %ld", &a, &b) == 2)
			burns[a - 1](b * 1000000);
		else if (sscanf(line, "wait %ld %ld", &a, &b) == 2)
			wait_for_lock(a, (useconds_t)b);
		puts("done");
	}
	for (int i = 0; i < SITES; i++)
		printf("burn_%d %lld\n", i + 1, (long long)burnt_ns[i]);
	printf("clock %lld\n", (long long)process_cpu_ns());
	return 0;
}
