/* SPDX-License-Identifier: MIT */
/*
 * Who names kinds wants each of them and is told which one is off; who names none, or
 * all, gets those that are on.  Threads belong to the moment, not to what was recorded:
 * they are dumped first, and whoever names them gets the dump as text besides.
 *
 * Context: collector, main thread.
 */
#include "command_snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "profile_kind.h"

_Static_assert(CPROF_SNAPSHOT_CPU == 1u << PROFILE_CPU && CPROF_SNAPSHOT_HEAP == 1u << PROFILE_HEAP &&
		       CPROF_SNAPSHOT_BLOCK == 1u << PROFILE_BLOCK &&
		       CPROF_SNAPSHOT_MUTEX == 1u << PROFILE_MUTEX &&
		       CPROF_SNAPSHOT_THREADCREATE == 1u << PROFILE_THREADCREATE &&
		       CPROF_SNAPSHOT_THREADS == 1u << PROFILE_THREADS,
	       "a kind has one number");
_Static_assert(CPROF_SNAPSHOT_ALL == (1u << PROFILE_KIND_COUNT) - 1, "all kinds");

#define IN_SEGMENT (CPROF_SNAPSHOT_ALL & ~CPROF_SNAPSHOT_THREADS)

/* What turns a kind on. */
static const char *const remedies[PROFILE_KIND_COUNT] = {
	[PROFILE_CPU] = "a start with CPROF_CPU_HZ",
	[PROFILE_HEAP] = "`cprof set PID heap_rate=512K`",
	[PROFILE_BLOCK] = "`cprof set PID block_rate=1us`",
	[PROFILE_MUTEX] = "`cprof set PID mutex_fraction=1`",
	[PROFILE_THREADCREATE] = "`cprof set PID block_rate=1us`",
};

static void answer_file(struct command_peer *peer, const struct client *client, const char *name)
{
	char path[CPROF_PATH_BYTES + OUTPUT_NAME_MAX];
	int n = snprintf(path, sizeof path, "%s/%s", client->writer.dir->path, name);
	command_answer(peer, CPROF_ANSWER_FILE, path, (size_t)n);
}

static void answer_files(struct command_peer *peer, const struct client *client,
			 const struct snapshot *snapshot)
{
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++)
		if (snapshot->files[kind].name[0])
			answer_file(peer, client, snapshot->files[kind].name);
}

/* The first kind that was asked for by name and failed; -1: none. */
static int first_failure(const struct snapshot *snapshot, bool is_each_wanted)
{
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++) {
		int error = snapshot->files[kind].error;
		if (error && (is_each_wanted || error != -ENOTSUP))
			return kind;
	}
	return -1;
}

static void end(struct command_peer *peer, const struct client *client, const struct snapshot *snapshot,
		int error, bool is_each_wanted)
{
	int kind = first_failure(snapshot, is_each_wanted);
	if (error == -EBADF)
		command_end(peer, error, "its files cannot be written to %s", client->writer.dir->path);
	else if (kind >= 0 && snapshot->files[kind].error == -ENOTSUP)
		command_end(peer, -ENOTSUP, "its %s profile is off; %s turns it on", profile_kinds[kind].name,
			    remedies[kind]);
	else if (kind >= 0)
		command_end(peer, snapshot->files[kind].error, "cannot write its %s profile to %s: %s",
			    profile_kinds[kind].name, client->writer.dir->path,
			    log_error_text(-snapshot->files[kind].error));
	else if (error && snapshot->number == 0 && error != -ENOTSUP)
		command_end(peer, error, "cannot take a snapshot: %s", log_error_text(-error));
	else if (snapshot->number == 0)
		command_end(peer, -ENOTSUP, "all its profiles are off; see `cprof set --help`");
	else
		command_end(peer, 0, "%s", "");
}

/* False: the peer was told why there is no window. */
static bool save_flight(struct command_peer *peer, struct client *client, void (*tick)(void *),
			void *tick_arg)
{
	struct trace_files files;
	int error = client_save_flight(client, tick, tick_arg, &files);
	for (int format = 0; format < TRACE_FORMAT_COUNT; format++)
		if (files.names[format][0])
			answer_file(peer, client, files.names[format]);
	if (error == -ENOTSUP)
		command_end(peer, error,
			    "its flight recorder is off; `cprof set PID trace=flight` turns it on");
	else if (error)
		command_end(peer, error, "cannot write its trace to %s: %s", client->writer.dir->path,
			    log_error_text(-error));
	return !error;
}

void command_snapshot(struct command_peer *peer, struct client *client, void (*tick)(void *), void *tick_arg)
{
	uint32_t kinds = peer->command.kinds & ~CPROF_SNAPSHOT_FLIGHT;
	bool is_flight_wanted = kinds != peer->command.kinds;
	bool is_each_wanted = kinds != 0 && kinds != CPROF_SNAPSHOT_ALL;
	struct snapshot_request request = {.kinds = kinds ? kinds : IN_SEGMENT};
	struct snapshot snapshot;
	struct thread_dump dump = {0};
	struct profile threads;
	if (kinds & ~CPROF_SNAPSHOT_ALL) {
		command_end(peer, -EINVAL, "its collector does not know such a kind");
		return;
	}
	if (command_is_abandoned(peer)) {
		command_end(peer, -ECANCELED, "%s", "");
		return;
	}
	/* First: every moment counts. */
	if (is_flight_wanted && !save_flight(peer, client, tick, tick_arg))
		return;
	if (is_flight_wanted && !kinds) {
		command_end(peer, 0, "%s", "");
		return;
	}
	if (kinds & CPROF_SNAPSHOT_THREADS) {
		int error = client_dump_threads(client, tick, tick_arg, &dump);
		if (error && (is_each_wanted || error != -ESRCH)) {
			command_end(peer, error == -ESRCH ? -ENOTSUP : error,
				    "its threads cannot be looked at: %s",
				    error == -ESRCH ? "it has ended, or cannot be seen by its collector"
						    : log_error_text(-error));
			return;
		}
		if (!error) {
			threads = thread_dump_profile(&dump);
			request.threads = &threads;
		}
		/* Before the files: they take longer, and may fail. */
		if (!error && is_each_wanted)
			command_answer_text(peer, dump.text, dump.text_bytes);
	}
	int error = client_snapshot(client, &request, tick, tick_arg, &snapshot);
	answer_files(peer, client, &snapshot);
	end(peer, client, &snapshot, error, is_each_wanted);
	thread_dump_free(&dump);
}
