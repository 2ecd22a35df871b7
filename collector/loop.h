/* SPDX-License-Identifier: MIT */
/*
 * The worker: serves all processes of one tree until nothing is left to do.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_LOOP_H
#define COLLECTOR_LOOP_H

#include "supervisor.h"

struct loop_config {
	int listen_fd;
	struct session session;
};

/*
 * Takes over what is inherited, registers, drains, writes.  `argument` is a struct
 * loop_config.  Returns 0 when all is done.
 */
int loop_run(const struct inheritance *inheritance, void *argument);

#endif
