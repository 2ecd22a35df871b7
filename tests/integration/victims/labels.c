// SPDX-License-Identifier: MIT
// cflags: -Iinclude
/*
 * Work under labels, each function's under its own.  With the argument "many": under more
 * sets than a small segment has room for.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cprof.h"
#include "victim.h"

#define TENANTS 3
#define KEPT 20

static const char *const tenants[TENANTS] = {"anna", "bert", "carl"};
static void *volatile kept[TENANTS * 8][KEPT];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;

FRAME static void allocate(int row, int count, size_t size)
{
	for (int i = 0; i < count; i++) {
		void *block = malloc(size);
		if (i < KEPT)
			kept[row][i] = block;
		else
			free(block);
	}
}

FRAME static void burn_anna(void)
{
	spin_cpu_ns(150000000);
	NO_TAIL_CALL();
}

FRAME static void burn_bert(void)
{
	spin_cpu_ns(150000000);
	NO_TAIL_CALL();
}

FRAME static void burn_nobody(void)
{
	spin_cpu_ns(150000000);
	NO_TAIL_CALL();
}

/* Inherits its creator's labels. */
static void *allocate_in_thread(void *row)
{
	allocate((int)(intptr_t)row, 100, 64);
	return NULL;
}

/* Of a pool: is handed the labels with the work. */
static void *allocate_for_others(void *labels)
{
	struct cprof_labels before = cprof_labels_switch(*(struct cprof_labels *)labels);
	allocate(6, 50, 80);
	cprof_labels_pop(before);
	allocate(7, 10, 80);
	return NULL;
}

FRAME static void wait_for_lock(void)
{
	pthread_mutex_lock(&lock);
	NO_TAIL_CALL();
}

FRAME static void make_wait(void)
{
	usleep(100000);
	pthread_mutex_unlock(&lock);
	NO_TAIL_CALL();
}

static void *hold(void *unused)
{
	(void)unused;
	struct cprof_labels before = cprof_labels_push("tenant", "bert");
	pthread_mutex_lock(&lock);
	pthread_barrier_wait(&barrier);
	make_wait();
	cprof_labels_pop(before);
	return NULL;
}

static void contend(void)
{
	pthread_t holder;
	pthread_barrier_init(&barrier, NULL, 2);
	pthread_create(&holder, NULL, hold, NULL);
	pthread_barrier_wait(&barrier);
	struct cprof_labels before = cprof_labels_push("tenant", "anna");
	wait_for_lock();
	cprof_labels_pop(before);
	pthread_mutex_unlock(&lock);
	pthread_join(holder, NULL);
}

static void child(struct cprof_labels outside)
{
	allocate(3, 70, 32); /* with the labels of the fork */
	struct cprof_labels before = cprof_labels_push("tenant", "child");
	allocate(4, 30, 32);
	cprof_labels_pop(before);
	cprof_labels_pop(outside);
	allocate(5, 5, 32);
	exit(0);
}

static void make_many_sets(void)
{
	for (int i = 0; i < 20000; i++) {
		char value[16];
		snprintf(value, sizeof value, "%d", i);
		struct cprof_labels before = cprof_labels_push("request", value);
		allocate(0, 1, 16);
		cprof_labels_pop(before);
	}
}

int main(int argc, char **argv)
{
	pthread_t thread;
	if (argc > 1 && !strcmp(argv[1], "many")) {
		make_many_sets();
		return 0;
	}
	for (int t = 0; t < TENANTS; t++) {
		struct cprof_labels before = cprof_labels_push("tenant", tenants[t]);
		allocate(t, 100 * (t + 1), 48);
		cprof_labels_pop(before);
	}
	/* A block keeps its labels, whoever frees it under whatever others. */
	struct cprof_labels before = cprof_labels_push("tenant", "carl");
	for (int i = 0; i < KEPT / 2; i++)
		free(kept[0][i]);
	cprof_labels_pop(before);

	before = cprof_labels_push("tenant", "dora");
	struct cprof_labels inner = cprof_labels_push("tenant", "emil");
	(void)cprof_labels_push("step", "2");
	pthread_create(&thread, NULL, allocate_in_thread, (void *)3);
	pthread_join(thread, NULL);
	struct cprof_labels handed = cprof_labels_current();
	cprof_labels_pop(inner);
	cprof_labels_pop(before);
	pthread_create(&thread, NULL, allocate_for_others, &handed);
	pthread_join(thread, NULL);

	before = cprof_labels_push("tenant", "anna");
	burn_anna();
	cprof_labels_pop(before);
	before = cprof_labels_push("tenant", "bert");
	burn_bert();
	cprof_labels_pop(before);
	burn_nobody();
	contend();

	fflush(stdout);
	before = cprof_labels_push("tenant", "forked");
	pid_t pid = fork();
	if (pid == 0)
		child(before);
	cprof_labels_pop(before);
	waitpid(pid, NULL, 0);
	printf("child %d\n", (int)pid);
	return 0;
}
