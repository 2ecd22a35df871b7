// SPDX-License-Identifier: MIT
// cflags: -Iinclude
/*
 * Two pipelines of queue and workers, all of whom need one slow lock, and then every other
 * way to wait for a thread.  Prints for each wait what it knows about it without cprof:
 *
 *     wait KIND TID BEGIN END BLOCKED WAKER
 *     release TID BEFORE AFTER                      of the slow lock
 *     region NAME TID BEFORE AFTER BEFORE AFTER     clocks around its begin and its end
 *     task NAME BEFORE AFTER BEFORE AFTER
 *
 * in nanoseconds of CLOCK_MONOTONIC.  BLOCKED is how long the thread slept for certain: the
 * wait without what the kernel says it ran, or was ready to run.  WAKER is a thread, 0: none.
 */
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cprof.h"

#define PIPELINES 2
#define WORKERS 2 /* of each */
#define ITEMS 24  /* likewise */
#define LINES_MAX 4096

static char lines[LINES_MAX][160];
static int line_count;

static int64_t now_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

#define NOW now_ns(CLOCK_MONOTONIC)
#define NEXT_LINE lines[__atomic_fetch_add(&line_count, 1, __ATOMIC_RELAXED) % LINES_MAX]

/* What the thread ran and what it was ready to run so far. */
static int64_t not_asleep_ns(void)
{
	long long ready = 0;
	FILE *file = fopen("/proc/thread-self/schedstat", "r");
	if (!file || fscanf(file, "%*d %lld", &ready) != 1)
		exit(77);
	fclose(file);
	return now_ns(CLOCK_THREAD_CPUTIME_ID) + ready;
}

struct stopwatch {
	int64_t not_asleep_ns;
	int64_t begin_ns;
};

static struct stopwatch start(void)
{
	struct stopwatch watch = {.not_asleep_ns = not_asleep_ns()};
	watch.begin_ns = NOW;
	return watch;
}

static void stop(struct stopwatch watch, const char *kind, int waker)
{
	int64_t end_ns = NOW;
	int64_t blocked_ns = end_ns - watch.begin_ns - (not_asleep_ns() - watch.not_asleep_ns);
	snprintf(NEXT_LINE, sizeof lines[0], "wait %s %d %" PRId64 " %" PRId64 " %" PRId64 " %d", kind, gettid(),
		 watch.begin_ns, end_ns, blocked_ns, waker);
}

static void pause_ms(int ms)
{
	const struct timespec time = {.tv_nsec = ms * 1000000};
	struct stopwatch watch = start();
	nanosleep(&time, NULL);
	stop(watch, "sleep", 0);
}

/* Takes the lock; `holder`, which it guards, is who held it before. */
static void lock_it(pthread_mutex_t *lock, const int *holder)
{
	if (pthread_mutex_trylock(lock) == 0)
		return;
	struct stopwatch watch = start();
	pthread_mutex_lock(lock);
	stop(watch, "mutex", *holder);
}

/* ---- the slow lock: who has it tells who had it before --------------------------------------- */

static pthread_mutex_t slow_lock = PTHREAD_MUTEX_INITIALIZER;
static int last_holder;

static void do_slow_work(void)
{
	lock_it(&slow_lock, &last_holder);
	int64_t begin_before = NOW;
	struct cprof_region region = cprof_region_begin("slow");
	int64_t begin_after = NOW;
	pause_ms(3);
	int64_t end_before = NOW;
	cprof_region_end(region);
	snprintf(NEXT_LINE, sizeof lines[0], "region slow %d %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64, gettid(),
		 begin_before, begin_after, end_before, NOW);
	last_holder = gettid();
	int64_t release_before = NOW;
	pthread_mutex_unlock(&slow_lock);
	snprintf(NEXT_LINE, sizeof lines[0], "release %d %" PRId64 " %" PRId64, gettid(), release_before, NOW);
}

/* ---- queues --------------------------------------------------------------------------------- */

struct item {
	struct cprof_task task;
	int64_t task_before, task_after;
};

static struct pipeline {
	pthread_mutex_t lock;
	pthread_cond_t is_filled;
	struct item items[ITEMS];
	int put, taken;
	int producer;
	int holder;
	int is_done;
} pipelines[PIPELINES];

static void *produce(void *argument)
{
	struct pipeline *p = argument;
	pthread_setname_np(pthread_self(), "producer");
	p->producer = gettid(); /* before anything is put */
	for (int i = 0; i < ITEMS; i++) {
		pause_ms(i % 4 == 0 ? 25 : 2);
		lock_it(&p->lock, &p->holder);
		struct item *item = &p->items[p->put++];
		item->task_before = NOW;
		item->task = cprof_task_begin("item");
		item->task_after = NOW;
		cprof_task_leave(item->task);
		pthread_cond_signal(&p->is_filled);
		p->holder = gettid();
		pthread_mutex_unlock(&p->lock);
	}
	pause_ms(20);
	lock_it(&p->lock, &p->holder);
	p->is_done = 1;
	pthread_cond_broadcast(&p->is_filled);
	p->holder = gettid();
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* The next item, or NULL. */
static struct item *take(struct pipeline *p)
{
	struct item *item = NULL;
	lock_it(&p->lock, &p->holder);
	while (p->taken == p->put && !p->is_done) {
		struct stopwatch watch = start();
		p->holder = gettid();
		pthread_cond_wait(&p->is_filled, &p->lock);
		stop(watch, "cond", p->producer);
	}
	if (p->taken < p->put)
		item = &p->items[p->taken++];
	p->holder = gettid();
	pthread_mutex_unlock(&p->lock);
	return item;
}

static void *work(void *argument)
{
	struct item *item;
	pthread_setname_np(pthread_self(), "worker");
	while ((item = take(argument))) {
		do_slow_work();
		int64_t end_before = NOW;
		cprof_task_end(item->task);
		snprintf(NEXT_LINE, sizeof lines[0], "task item %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64,
			 item->task_before, item->task_after, end_before, NOW);
	}
	return NULL;
}

/* ---- one of each ------------------------------------------------------------------------------ */

static sem_t semaphore;
static pthread_barrier_t barrier;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static int helper_id;

static void *help(void *unused)
{
	__atomic_store_n(&helper_id, gettid(), __ATOMIC_RELEASE);
	pause_ms(5);
	sem_post(&semaphore);
	pause_ms(5);
	struct stopwatch watch = start();
	pthread_barrier_wait(&barrier);
	stop(watch, "barrier", getpid()); /* for the main thread, if that could not run for so long */
	pthread_rwlock_wrlock(&rwlock);
	sem_post(&semaphore);
	pause_ms(10);
	pthread_rwlock_unlock(&rwlock);
	pause_ms(5);
	return unused;
}

static void wait_in_every_way(void)
{
	pthread_t helper;
	sem_init(&semaphore, 0, 0);
	pthread_barrier_init(&barrier, NULL, 2);
	pthread_create(&helper, NULL, help, NULL);
	struct stopwatch watch = start();
	sem_wait(&semaphore);
	int id = __atomic_load_n(&helper_id, __ATOMIC_ACQUIRE);
	stop(watch, "semaphore", id);
	watch = start();
	pthread_barrier_wait(&barrier);
	stop(watch, "barrier", id);
	watch = start();
	sem_wait(&semaphore); /* the lock is taken now */
	stop(watch, "semaphore", id);
	watch = start();
	pthread_rwlock_rdlock(&rwlock);
	stop(watch, "rwlock", id);
	pthread_rwlock_unlock(&rwlock);
	watch = start();
	pthread_join(helper, NULL);
	stop(watch, "join", id);
}

int main(void)
{
	pthread_t threads[PIPELINES][1 + WORKERS];
	for (int i = 0; i < PIPELINES; i++) {
		struct pipeline *p = &pipelines[i];
		pthread_mutex_init(&p->lock, NULL);
		pthread_cond_init(&p->is_filled, NULL);
		pthread_create(&threads[i][0], NULL, produce, p);
		for (int w = 0; w < WORKERS; w++)
			pthread_create(&threads[i][1 + w], NULL, work, p);
	}
	for (int i = 0; i < PIPELINES; i++)
		for (int t = 0; t < 1 + WORKERS; t++) {
			struct stopwatch watch = start();
			pthread_join(threads[i][t], NULL);
			stop(watch, "join", -1); /* a thread that is gone cannot be asked for its id */
		}
	wait_in_every_way();
	for (int i = 0; i < line_count; i++)
		puts(lines[i]);
	return 0;
}
