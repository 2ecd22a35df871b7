/* SPDX-License-Identifier: MIT */
/*
 * What commands do: list, set, snapshot.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_COMMAND_SERVE_H
#define COLLECTOR_COMMAND_SERVE_H

#include "client.h"
#include "command.h"

/*
 * Serves one peer to its end.  `clients`: all of the tree, newest first.  May take
 * long if it is a snapshot; tick(tick_arg) is called meanwhile.
 */
void command_serve(struct command_peer *peer, struct client *clients, void (*tick)(void *), void *tick_arg);

/* Ends a peer whose command is not for this tree, tells another one to wait for its turn. */
void command_check(struct command_peer *peer, struct client *clients);

#endif
