/* SPDX-License-Identifier: MIT */
/*
 * A profiled program keeps no descriptor of its segment, so whoever is to take over
 * from a dead collector must hold one.  The supervisor is that holder: the process
 * that was exec'd forks the worker, keeps a copy of each descriptor the worker
 * receives, and forks a new worker from them when one dies.
 *
 * Context: collector; the supervisor has one thread and never opens a segment.
 */
#ifndef COLLECTOR_SUPERVISOR_H
#define COLLECTOR_SUPERVISOR_H

#include "registration.h"

#define INHERITED_PEERS_MAX (2 * REGISTRATION_PENDING_MAX)

/* What a worker inherits. */
struct inheritance {
	int link_fd; /* to the supervisor, for supervisor_tell_*(); -1: none */
	uint32_t next_id;
	bool has_started;              /* somebody had registered before */
	struct client_handle *handles; /* in order of registration; the worker owns their descriptors */
	size_t handle_count;
	/* Who has connected and was not heard to the end; the worker owns these too. */
	struct inherited_peer {
		int fd;
		uint32_t peer;
	} peers[INHERITED_PEERS_MAX];
	size_t peer_count;
	uint32_t next_peer;
	char out_dir[CPROF_PATH_BYTES]; /* of the tree, "" if not known yet */
};

/*
 * Forks workers that run `work`, whose result is their exit status, until one ends
 * with 0 (returns 0) or too many have died (returns 1).  In a worker it returns what
 * `work` returned, with *out_is_worker set.
 */
int supervisor_run(int (*work)(const struct inheritance *inheritance, void *argument), void *argument,
		   bool *out_is_worker);

/* Worker side.  A supervisor that is gone is no error: the worker goes on alone. */

/* Somebody has connected, as `peer`; and is not waited for any more.  Who registers is that by itself. */
void supervisor_tell_peer(int link_fd, uint32_t peer, int fd);
void supervisor_tell_peer_served(int link_fd, uint32_t peer);
/* By the keeper: it was accepted, and whether that was told is not known. */
void supervisor_tell_peer_kept(int link_fd, int fd);

void supervisor_tell_registered(int link_fd, const struct client_handle *handle);
void supervisor_tell_finished(int link_fd, uint32_t id);
void supervisor_tell_out_dir(int link_fd, const char *path);
void supervisor_tell_first_ended(int link_fd);

#endif
