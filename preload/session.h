/* SPDX-License-Identifier: MIT */
/*
 * This process and the tree's collector: starting it, registering with it, and
 * waiting for the files at the end.
 *
 * Context: any (async-signal-safe) unless noted.
 */
#ifndef PRELOAD_SESSION_H
#define PRELOAD_SESSION_H

#include "cprof_wire.h"

#include <stdbool.h>
#include <stdint.h>

struct session {
	char name[CPROF_SESSION_HEX + 1]; /* of the socket, hex */
	uint8_t token[CPROF_TOKEN_BYTES];
	uint32_t root_pid; /* of the first process, as it sees itself */
};

extern struct session session;

/* Reads CPROF_SESSION's value. False if it is not one. */
bool session_parse(const char *value);

/* Makes a new session's name and token; this process is its first. */
void session_create(uint32_t pid);

/* Writes "CPROF_SESSION=..." to `bytes`. */
void session_format(char *bytes, uint64_t capacity);

enum session_turn { SESSION_FIRST_TIME, SESSION_AGAIN };

/*
 * Connects to the session's collector and hands over the segment.  0 or -errno; never
 * waits.
 */
int session_register(int segment_fd, uint32_t pid, bool is_first, enum session_turn turn);

/* Whether the collector that this process registered with listens still. */
bool session_has_listener(void);

/*
 * The same for a process that may have gone to another network namespace: there the
 * heartbeat tells, within a second.
 */
bool session_is_served(void);

/* The process may be in another network namespace from here on, where its collector is not found. */
void session_leave_network(void);
bool session_has_left_network(void);

/* The program says itself who may trace it: cprof does not any more, in it or in its children. */
void session_leave_tracer(void);

/* Makes the session's listening socket, non-blocking and close-on-exec. Descriptor or -errno. */
int session_listen(void);

/*
 * Asks the collector for the final files and waits until they are there, at most
 * `wait_ns`.  0; -ETIMEDOUT: it still works on them; -ESRCH: it is dead.
 */
int session_finish(uint64_t wait_ns);

/* Asks the collector for a heap snapshot. False: this process does not record. */
bool session_request_snapshot(void);

/* Wakes the collector: something was requested in the control block. */
void session_ring_bell(void);

#endif
