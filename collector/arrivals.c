/* SPDX-License-Identifier: MIT */
/*
 * Context: collector; see arrivals.h.
 */
#include "arrivals.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"

#define ARRIVALS_MAX 256
#define REST_MS 5

void arrivals_init(struct arrivals *arrivals, int listen_fd, const struct session *session,
		   struct commands *commands, const struct inheritance *inheritance)
{
	*arrivals = (struct arrivals){.link_fd = inheritance->link_fd,
				      .next_id = inheritance->next_id,
				      .has_started = inheritance->has_started};
	registration_init(&arrivals->registration, listen_fd, session, commands);
	arrivals->registration.link_fd = inheritance->link_fd;
	arrivals->registration.next_peer = inheritance->next_peer;
	for (size_t i = 0; i < inheritance->peer_count; i++)
		registration_adopt(&arrivals->registration, inheritance->peers[i].fd,
				   inheritance->peers[i].peer, clock_monotonic_ms());
	for (size_t i = 0; i < inheritance->handle_count; i++)
		if (inheritance->handles[i].is_first)
			arrivals->first_peer_pid = inheritance->handles[i].peer_pid;
}

void arrivals_fini(struct arrivals *arrivals)
{
	free(arrivals->handles);
	*arrivals = (struct arrivals){.link_fd = -1};
}

void arrivals_rest(struct arrivals *arrivals)
{
	arrivals->rest_until_ms = clock_monotonic_ms() + REST_MS;
}

void arrivals_take(struct arrivals *arrivals)
{
	struct client_handle handle;
	for (int taken = 0; taken < ARRIVALS_MAX; taken++) {
		if (!registration_next(&arrivals->registration, clock_monotonic_ms(), &handle))
			break;
		handle.id = arrivals->next_id++;
		/* Only the process that made the session can be first, and only it can be again (exec). */
		if (handle.is_first && arrivals->has_started &&
		    (handle.peer_pid == 0 || handle.peer_pid != arrivals->first_peer_pid))
			handle.is_first = 0;
		if (handle.is_first)
			arrivals->first_peer_pid = handle.peer_pid;
		else
			arrivals_rest(arrivals);
		arrivals->has_started = true;
		supervisor_tell_registered(arrivals->link_fd, &handle);
		struct client_handle *grown = realloc(arrivals->handles,
						      (arrivals->count + 1) * sizeof *grown);
		if (!grown) {
			log_warn("process %u is not profiled: no memory", handle.pid);
			client_handle_close(&handle);
			supervisor_tell_finished(arrivals->link_fd, handle.id);
			continue;
		}
		arrivals->handles = grown;
		arrivals->handles[arrivals->count++] = handle;
	}
}

void arrivals_close_door(struct arrivals *arrivals)
{
	size_t before;
	registration_shut(&arrivals->registration);
	do {
		before = arrivals->count;
		arrivals_take(arrivals);
	} while (arrivals->count > before);
	registration_shut(&arrivals->registration);
}

bool arrivals_next(struct arrivals *arrivals, struct client_handle *out_handle)
{
	if (arrivals->count == 0)
		return false;
	*out_handle = arrivals->handles[0];
	arrivals->count--;
	memmove(arrivals->handles, arrivals->handles + 1, arrivals->count * sizeof *out_handle);
	return true;
}

bool arrivals_have(const struct arrivals *arrivals, const struct client_handle *handle)
{
	for (size_t i = 0; i < arrivals->count; i++)
		if (arrivals->handles[i].peer_pid == handle->peer_pid)
			return true;
	return false;
}

bool arrivals_are_over(const struct arrivals *arrivals)
{
	return arrivals->count == 0 && arrivals->registration.pending_count == 0;
}
