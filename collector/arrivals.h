/* SPDX-License-Identifier: MIT */
/*
 * Processes between the front door and the worker's work: those that have registered get
 * a number, the supervisor is told, and they wait until somebody has time to open them.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_ARRIVALS_H
#define COLLECTOR_ARRIVALS_H

#include "registration.h"
#include "supervisor.h"

struct arrivals {
	struct registration registration;
	int link_fd; /* to the supervisor */
	uint32_t next_id;
	struct client_handle *handles; /* in the order in which they came */
	size_t count;
	int32_t first_peer_pid; /* of the first process; 0 before it registered and after its end */
	bool has_started;       /* somebody has registered */
	int64_t rest_until_ms;  /* nobody but the first process is looked for before; see arrivals_rest() */
};

/*
 * Begins where a former worker was.  What `inheritance` holds of clients is the caller's; `commands`
 * are borrowed.
 */
void arrivals_init(struct arrivals *arrivals, int listen_fd, const struct session *session,
		   struct commands *commands, const struct inheritance *inheritance);
void arrivals_fini(struct arrivals *arrivals);

/* Takes those who stand at the door; not more at once than leaves time for the others. */
void arrivals_take(struct arrivals *arrivals);

/* Closes the door behind those who are in or were waiting. */
void arrivals_close_door(struct arrivals *arrivals);

/* The next one to be opened; false: nobody waits. */
bool arrivals_next(struct arrivals *arrivals, struct client_handle *out_handle);

/* Whether the same process waits. */
bool arrivals_have(const struct arrivals *arrivals, const struct client_handle *handle);

/* Nobody waits, and nobody is about to register. */
bool arrivals_are_over(const struct arrivals *arrivals);

/*
 * After a process other than the first has come or gone the next such is not looked for at once:
 * short ones come by the thousand, each costs two turns of the loop, and being woken for them costs
 * the program its processor.  Nothing is lost meanwhile, and nobody waits for it.
 */
void arrivals_rest(struct arrivals *arrivals);

#endif
