/* SPDX-License-Identifier: MIT */
/*
 * The front door: peers connect to the listening socket and send one message each;
 * those that prove their descent become handles, those that send a command are passed
 * on with it, the rest is closed.
 *
 * Context: collector, main thread.  Never blocks.
 */
#ifndef COLLECTOR_REGISTRATION_H
#define COLLECTOR_REGISTRATION_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "command.h"
#include "cprof_wire.h"

/* CPROF_SESSION, parsed. */
struct session {
	uint8_t token[CPROF_TOKEN_BYTES];
	uint32_t root_pid; /* of the first process, as it sees itself */
};

/* Parses "<name>:<token>:<pid>".  0 or -EINVAL. */
int session_parse(const char *text, struct session *out_session);

/*
 * The pid that a pidfd stands for, as we see it: 0 if it is not visible from here, -1 if
 * the process is gone or fd is no pidfd.
 */
pid_t pidfd_pid(int fd);

/* A registered process, before anything in its segment was believed.  Owns its descriptors. */
struct client_handle {
	uint32_t id;   /* given by the worker, unique in the tree */
	uint32_t peer; /* likewise, of the connection that it came by */
	uint32_t is_first;
	uint32_t is_again; /* in place of what the same process registered before */
	uint32_t pid;      /* as the process sees itself */
	int32_t peer_pid;  /* as we see it; 0: not visible from here */
	int segment_fd;
	int pidfd;   /* -1: none; then it is dead already, or kill(pid, 0) has to do */
	int root_fd; /* O_PATH of its root directory, or -1 */
};

void client_handle_close(struct client_handle *handle);

#define REGISTRATION_PENDING_MAX 64
#define REGISTRATION_PATIENCE_MS 1000

/* Peers that have connected but not spoken. */
struct registration {
	int listen_fd; /* -1: closed */
	int link_fd;   /* to the supervisor, which keeps connections that a worker dies with; -1: none */
	uint32_t next_peer;
	bool is_shut;
	struct session session;
	struct commands *commands; /* borrowed: where commands go; NULL: nowhere */
	/* Whether a process that has just come is gone and left nothing: nobody hears of it.  NULL: none is. */
	bool (*is_nothing)(void *argument, const struct client_handle *handle);
	void *is_nothing_argument;
	unsigned complaints;  /* lines about refused peers so far */
	int64_t accept_at_ms; /* no descriptors left: not before this moment */
	size_t pending_count;
	struct pending_peer {
		int fd;
		uint32_t peer;
		bool is_told;        /* the supervisor has a copy */
		int64_t deadline_ms; /* monotonic */
	} pending[REGISTRATION_PENDING_MAX];
};

void registration_init(struct registration *registration, int listen_fd, const struct session *session,
		       struct commands *commands);

/* Waits for somebody whom an earlier worker has let in. */
void registration_adopt(struct registration *registration, int fd, uint32_t peer, int64_t now_ms);

/*
 * Takes the next registered process: accepts, reads and verifies as needed.  Returns
 * 1 with out_handle (id 0), or 0 if nobody is waiting.
 */
int registration_next(struct registration *registration, int64_t now_ms, struct client_handle *out_handle);

/*
 * Nobody can connect any more; who has connected is still to be taken.  To be called
 * again once nobody is waiting: then the socket is closed and is not polled.
 */
void registration_shut(struct registration *registration);

/* Descriptors to poll for the next call.  fds has room for REGISTRATION_PENDING_MAX + 1. */
size_t registration_poll_fds(const struct registration *registration, int64_t now_ms, struct pollfd *fds);

#endif
