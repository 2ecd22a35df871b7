/* SPDX-License-Identifier: MIT */
/*
 * The target is who its pidfd says, whatever pid the sender knows it by.  Besides root
 * only the collector's own user gets here, and he may not command what another user's
 * process in this tree recorded: a segment belongs to who made it.
 *
 * Context: collector, main thread.
 */
#include "command_serve.h"

#include <errno.h>
#include <string.h>

#include "command_snapshot.h"
#include "command_top.h"
#include "process_info.h"
#include "rates.h"

static bool may_command(const struct command_peer *peer, const struct client *client)
{
	return peer->uid == 0 || peer->uid == process_info_uid(client);
}

/*
 * Whether the command is about this client.  Pidfds are compared by what one and the
 * same /proc says of them: it may be of another pid namespace than ours.
 */
static bool is_target(const struct command_peer *peer, const struct client *client)
{
	if (peer->target_fd < 0)
		return peer->command.pid && client->handle.peer_pid == (int32_t)peer->command.pid;
	pid_t wanted = pidfd_pid(peer->target_fd);
	if (wanted <= 0)
		return false;
	return wanted ==
	       (client->handle.pidfd >= 0 ? pidfd_pid(client->handle.pidfd) : client->handle.peer_pid);
}

/* The newest image of the process that is meant; NULL: there is none, and the peer was told. */
static struct client *find_target(struct command_peer *peer, struct client *clients)
{
	for (struct client *client = clients; client; client = client->next) {
		if (client->end_monotonic_ns || !is_target(peer, client))
			continue;
		if (may_command(peer, client))
			return client;
		command_end(peer, -EPERM, "it belongs to another user");
		return NULL;
	}
	command_end(peer, -ESRCH, "it is not profiled");
	return NULL;
}

static void answer_process(struct command_peer *peer, const struct client *client)
{
	struct cprof_process process;
	process_info_fill(client, &process);
	command_answer(peer, CPROF_ANSWER_PROCESS, &process, sizeof process);
}

static void serve_list(struct command_peer *peer, const struct client *clients)
{
	for (const struct client *client = clients; client; client = client->next)
		if (!client->end_monotonic_ns && may_command(peer, client))
			answer_process(peer, client);
	command_end(peer, 0, "%s", "");
}

static void serve_set(struct command_peer *peer, struct client *client)
{
	char line[RATES_LINE_BYTES];
	int error = rates_apply(segment_reader_control(&client->reader), &peer->command.rates, line);
	if (error) {
		command_end(peer, error, "%s", line);
		return;
	}
	answer_process(peer, client);
	command_end(peer, 0, "%s", "");
}

void command_serve(struct command_peer *peer, struct client *clients, void (*tick)(void *), void *tick_arg)
{
	if (peer->command.what == CPROF_COMMAND_LIST) {
		serve_list(peer, clients);
		return;
	}
	struct client *client = find_target(peer, clients);
	if (!client)
		return;
	if (peer->command.what == CPROF_COMMAND_SET)
		serve_set(peer, client);
	else if (peer->command.what == CPROF_COMMAND_TOP)
		command_top(peer, client, tick, tick_arg);
	else
		command_snapshot(peer, client, tick, tick_arg);
}

void command_check(struct command_peer *peer, struct client *clients)
{
	if (find_target(peer, clients))
		command_tell_to_wait(peer);
}
