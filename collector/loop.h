/* SPDX-License-Identifier: MIT */
/*
 * The worker: serves all processes of one tree until nothing is left to do.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_LOOP_H
#define COLLECTOR_LOOP_H

#include "http_config.h"
#include "interval.h"
#include "supervisor.h"

struct loop_config {
	int listen_fd;
	struct session session;
	struct interval_config interval;
	struct push_config push;
	struct http_config http;
	const char *out_dir; /* absolute; NULL: the first process's segment names it */
	int http_fd; /* listening, -1: none; each worker serves on it, so that it outlives all of them */
};

/*
 * Takes over what is inherited, registers, drains, writes.  `argument` is a struct
 * loop_config.  Returns 0 when all is done.
 */
int loop_run(const struct inheritance *inheritance, void *argument);

#endif
