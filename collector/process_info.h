/* SPDX-License-Identifier: MIT */
/*
 * A live process in figures, for `cprof list`.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_PROCESS_INFO_H
#define COLLECTOR_PROCESS_INFO_H

#include "client.h"
#include "cprof_wire.h"

/* Fills out_process from what is drained so far.  Takes no time worth mentioning. */
void process_info_fill(const struct client *client, struct cprof_process *out_process);

/* The uid that the client's segment belongs to: of the process when it made it. */
uid_t process_info_uid(const struct client *client);

#endif
