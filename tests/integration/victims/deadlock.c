/* SPDX-License-Identifier: MIT */
/* Two threads, each holding what the other one wants; the main thread waits for them.  Until it is killed. */
#include <pthread.h>
#include <stdio.h>

static pthread_mutex_t left = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t right = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t both_hold;

#define NOINLINE __attribute__((noinline, noclone))
#define STAY() __asm__ volatile("" ::: "memory")

static NOINLINE void take_the_other(pthread_mutex_t *mutex)
{
	pthread_mutex_lock(mutex);
	STAY();
}

static NOINLINE void *takes_left_first(void *unused)
{
	pthread_setname_np(pthread_self(), "left first");
	pthread_mutex_lock(&left);
	pthread_barrier_wait(&both_hold);
	take_the_other(&right);
	return unused;
}

static NOINLINE void *takes_right_first(void *unused)
{
	pthread_setname_np(pthread_self(), "right first");
	pthread_mutex_lock(&right);
	pthread_barrier_wait(&both_hold);
	take_the_other(&left);
	return unused;
}

static NOINLINE void start_both(pthread_t threads[2])
{
	pthread_create(&threads[0], NULL, takes_left_first, NULL);
	pthread_create(&threads[1], NULL, takes_right_first, NULL);
	STAY();
}

int main(void)
{
	pthread_t threads[2];
	pthread_barrier_init(&both_hold, NULL, 2);
	start_both(threads);
	printf("left %p right %p\n", (void *)&left, (void *)&right);
	fflush(stdout);
	pthread_join(threads[0], NULL);
	return 0;
}
