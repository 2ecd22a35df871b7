/* SPDX-License-Identifier: MIT */
/* cflags: -Iinclude */
/*
 * Says what it is doing, and does what it is told: "fast", "slow" (a region of 30 ms),
 * "task" (the same as a task that another thread ends), "ask" (for the window), "wait"
 * (until somebody signals).
 *
 * Context: test program.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cprof.h"

static void *end_task(void *task)
{
	cprof_task_end(*(struct cprof_task *)task);
	return NULL;
}

static void do_one(const char *what)
{
	if (!strcmp(what, "fast")) {
		cprof_region_end(cprof_region_begin("checkout"));
	} else if (!strcmp(what, "slow")) {
		struct cprof_region region = cprof_region_begin("checkout");
		usleep(30000);
		cprof_region_end(region);
	} else if (!strcmp(what, "task")) {
		pthread_t thread;
		struct cprof_task task = cprof_task_begin("job");
		usleep(30000);
		pthread_create(&thread, NULL, end_task, &task);
		pthread_join(thread, NULL);
	} else if (!strcmp(what, "ask")) {
		cprof_log("asked", "now");
		printf("ask %d\n", cprof_flight_snapshot());
	} else if (!strcmp(what, "wait")) {
		puts("waits");
		fflush(stdout);
		getchar();
	}
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		do_one(argv[i]);
	return 0;
}
