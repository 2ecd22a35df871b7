/* SPDX-License-Identifier: MIT */
/*
 * What a process does right now: where CPU time, allocation and waiting went since the
 * command before, as a page of text for `cprof top`.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_COMMAND_TOP_H
#define COLLECTOR_COMMAND_TOP_H

#include "client.h"
#include "command.h"

/* A command that comes later than this after the one before begins anew. */
#define COMMAND_TOP_MEMORY_MS 10000

/*
 * Serves one peer to its end.  The first command about a process only begins: its answer
 * is empty.  Several who watch a process share its time.  May take long; tick(tick_arg) is called meanwhile.
 */
void command_top(struct command_peer *peer, struct client *client, void (*tick)(void *), void *tick_arg);

#endif
