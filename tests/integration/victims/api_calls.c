// SPDX-License-Identifier: MIT
// cflags: -std=c99 -pedantic -Wall -Wextra -Werror -Iinclude
/*
 * Every function of cprof.h once, as a program in C99 or C++ uses it; prints what it
 * returns where that depends on cprof.
 */
#include <stdio.h>

#include "cprof.h"

static int evaluated;

static int count(void)
{
	return ++evaluated;
}

int main(void)
{
	struct cprof_task none = {0, 0, 0};
	struct cprof_task task = cprof_task_begin("order");
	struct cprof_task part = cprof_task_begin_in("part", cprof_task_current());
	struct cprof_region region = cprof_region_begin("region");
	struct cprof_labels labels = cprof_labels_push("tenant", "anna");
	int snapshot, flight;
	cprof_log("category", "message");
	cprof_logf("category", "%d", count());
	cprof_labels_pop(cprof_labels_switch(cprof_labels_current()));
	cprof_labels_pop(labels);
	cprof_region_end(region);
	cprof_task_end(part);
	(void)cprof_task_switch(cprof_task_switch(none));
	cprof_task_end(task);
	errno = 77;
	snapshot = cprof_snapshot();
	flight = cprof_flight_snapshot();
	printf("traced %d task %d region %d evaluated %d snapshot %d flight %d errno %d\n", cprof_trace_enabled(),
	       task.id != 0, region.level != 0, evaluated, snapshot, flight, errno);
	return 0;
}
