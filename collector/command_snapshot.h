/* SPDX-License-Identifier: MIT */
/*
 * Snapshots on command: which kinds, which files, and what is answered.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_COMMAND_SNAPSHOT_H
#define COLLECTOR_COMMAND_SNAPSHOT_H

#include "client.h"
#include "command.h"

/* Serves a peer that wants a snapshot of this client, to its end.  May take long: see client_answer(). */
void command_snapshot(struct command_peer *peer, struct client *client, void (*tick)(void *), void *tick_arg);

#endif
