/* SPDX-License-Identifier: MIT */
/*
 * Of CPU time and waits an interval's profile has what came since the one before.  Of the
 * heap a file has all, to be compared with another by the reader; a server wants what was
 * allocated since, and what is in use now.
 *
 * Context: collector, main thread; see interval.h.
 */
#include "interval.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "cprof_units.h"
#include "interval_files.h"
#include "pprof.h"
#include "profile_kind.h"
#include "window.h"

#define PERIOD_MIN_MS 1000
#define PERIOD_MAX_MS ((int64_t)366 * 24 * 3600 * 1000)
#define KEEP_MAX 1000000
#define NS_PER_MS 1000000
#define NS_PER_S 1000000000

/* Kinds of which there are profiles of intervals. */
#define KINDS (1u << PROFILE_CPU | 1u << PROFILE_HEAP | 1u << PROFILE_BLOCK | 1u << PROFILE_MUTEX)

/* alloc_objects and alloc_space; the other two say what is in use. */
#define HEAP_VALUES_COUNTED_UP 2

/* More processes than end their intervals within one millisecond. */
#define RECENT 256

/* A process, from when it was first seen. */
struct watched {
	struct watched *next;
	uint32_t client_id;
	int64_t due_ms;
	int64_t stamp_s;      /* in the names of the last files */
	struct window window; /* open: what came before the current interval */
};

struct interval {
	struct interval_config config;
	struct push *push; /* NULL: nothing is sent */
	int64_t period_ms;
	int64_t recent_ms[PROFILE_KIND_COUNT][RECENT]; /* times of profiles that were sent; a ring */
	uint32_t recent_count[PROFILE_KIND_COUNT];
	struct watched *watched;
};

/* ---- settings -------------------------------------------------------------------------------- */

int interval_config_read(const char *interval, const char *keep, struct interval_config *out_config,
			 char out_error[INTERVAL_ERROR_BYTES])
{
	uint64_t period_ns = 0;
	uint64_t kept = INTERVAL_KEEP_DEFAULT;
	*out_config = (struct interval_config){0};
	if (!interval || !*interval)
		return 0;
	if (!cprof_read_duration(interval, &period_ns) ||
	    (period_ns && (period_ns / NS_PER_MS < PERIOD_MIN_MS || period_ns / NS_PER_MS > PERIOD_MAX_MS))) {
		snprintf(out_error, INTERVAL_ERROR_BYTES,
			 "CPROF_INTERVAL=%.100s: accepted is a duration from 1s on, such as 10m, or 0; "
			 "nothing is "
			 "written at intervals",
			 interval);
		return -EINVAL;
	}
	if (keep && *keep && !cprof_read_number(keep, KEEP_MAX, &kept)) {
		snprintf(out_error, INTERVAL_ERROR_BYTES,
			 "CPROF_KEEP=%.100s: accepted is a number from 0 (all) to 1000000; using 24", keep);
		kept = INTERVAL_KEEP_DEFAULT;
	}
	*out_config = (struct interval_config){(int64_t)(period_ns / NS_PER_MS), (unsigned)kept};
	return out_error[0] ? -EINVAL : 0;
}

struct interval *interval_open(const struct interval_config *config, struct push *push)
{
	struct interval *interval = config->period_ms || push ? calloc(1, sizeof *interval) : NULL;
	if (!interval)
		return NULL;
	interval->config = *config;
	interval->push = push;
	interval->period_ms = config->period_ms ? config->period_ms : INTERVAL_PUSH_DEFAULT_MS;
	return interval;
}

static void forget(struct watched *watched)
{
	window_close(&watched->window);
	free(watched);
}

void interval_close(struct interval *interval)
{
	while (interval && interval->watched) {
		struct watched *next = interval->watched->next;
		forget(interval->watched);
		interval->watched = next;
	}
	free(interval);
}

void interval_forget_client(struct interval *interval, const struct client *client)
{
	for (struct watched **link = interval ? &interval->watched : NULL; link && *link;
	     link = &(*link)->next) {
		struct watched *watched = *link;
		if (watched->client_id != client->handle.id)
			continue;
		*link = watched->next;
		forget(watched);
		return;
	}
}

/* ---- the end of an interval ------------------------------------------------------------------ */

/* What is to be done with it. */
struct ending {
	struct interval *interval;
	struct client *client;
	const struct window *window;
	const struct writer_moment *moment;
	struct aggregate *aggregate;
	bool has_files;
	bool is_last; /* what did not change since is not sent again */
	char stamp[INTERVAL_STAMP_BYTES];
};

static void write_file(const struct ending *ending, enum profile_kind kind, const unsigned char *bytes,
		       size_t size)
{
	struct writer *writer = &ending->client->writer;
	int error = interval_files_write(writer, kind, ending->stamp, bytes, size);
	if (error)
		writer_report(writer, profile_kinds[kind].name, error);
}

static void send_to_server(const struct ending *ending, enum profile_kind kind, const unsigned char *bytes,
			   size_t size)
{
	const struct writer *writer = &ending->client->writer;
	const struct window *window = ending->window;
	uint64_t length_ns = ending->moment->end_monotonic_ns > window->begin_monotonic_ns
				     ? ending->moment->end_monotonic_ns - window->begin_monotonic_ns
				     : 0;
	const struct push_profile profile = {
		.kind = kind,
		.name = writer->name,
		.begin_ns = window->begin_realtime_ns,
		.end_ns = window->begin_realtime_ns + (int64_t)length_ns,
		.cpu_hz = load_relaxed(&segment_reader_control(writer->reader)->cpu_hz), /* stands alone */
		.bytes = bytes,
		.size = size,
	};
	push_add(ending->interval->push, &profile, writer->pid);
}

static bool is_recent(const struct interval *interval, enum profile_kind kind, int64_t time_ms)
{
	for (int i = 0; i < RECENT; i++)
		if (interval->recent_ms[kind][i] == time_ms)
			return true;
	return false;
}

/*
 * A time for a profile that no other one of its kind has: of two in one millisecond, say
 * of two workers that go by the same labels, Pyroscope shows only one.
 */
static int64_t distinct_time_ns(struct interval *interval, enum profile_kind kind, int64_t time_ns)
{
	int64_t time_ms = time_ns / NS_PER_MS;
	while (is_recent(interval, kind, time_ms))
		time_ms++;
	interval->recent_ms[kind][interval->recent_count[kind]++ % RECENT] = time_ms;
	return time_ms == time_ns / NS_PER_MS ? time_ns : time_ms * NS_PER_MS;
}

/* A kind that was subtracted, as bytes; NULL: no memory (said so). */
static unsigned char *encode_part(const struct ending *ending, enum profile_kind kind, size_t *out_size)
{
	struct writer *writer = &ending->client->writer;
	const struct writer_moment *moment = ending->moment;
	struct writer_profile described;
	unsigned char *bytes = NULL;
	window_describe(ending->window, writer, ending->aggregate, kind, moment, &described);
	if (ending->interval->push)
		described.profile.time_ns = distinct_time_ns(ending->interval, kind,
							     described.profile.time_ns);
	int error = pprof_encode(&described.profile, moment->tick, moment->tick_arg, &bytes, out_size);
	writer_profile_fini(&described);
	if (!error)
		return bytes;
	writer_report(writer, profile_kinds[kind].name, error);
	return NULL;
}

static void end_part(const struct ending *ending, enum profile_kind kind)
{
	size_t size = 0;
	window_subtract(ending->window, kind, ending->aggregate);
	bool is_sent = ending->interval->push && ending->aggregate->sample_count[kind];
	unsigned char *bytes = ending->has_files || is_sent ? encode_part(ending, kind, &size) : NULL;
	if (bytes && ending->has_files)
		write_file(ending, kind, bytes, size);
	if (bytes && is_sent)
		send_to_server(ending, kind, bytes, size);
	free(bytes);
}

static void end_heap(const struct ending *ending)
{
	struct writer *writer = &ending->client->writer;
	unsigned char *bytes = NULL;
	size_t size = 0;
	if (ending->has_files) {
		int error = writer_encode(writer, ending->aggregate, PROFILE_HEAP, ending->moment, &bytes,
					  &size);
		if (error)
			writer_report(writer, profile_kinds[PROFILE_HEAP].name, error);
		else
			write_file(ending, PROFILE_HEAP, bytes, size);
		free(bytes);
	}
	if (!ending->interval->push)
		return;
	bool is_changed = window_subtract_first(ending->window, PROFILE_HEAP, HEAP_VALUES_COUNTED_UP,
						ending->aggregate);
	if ((ending->is_last && !is_changed) || !ending->aggregate->sample_count[PROFILE_HEAP])
		return;
	bytes = encode_part(ending, PROFILE_HEAP, &size);
	if (bytes)
		send_to_server(ending, PROFILE_HEAP, bytes, size);
	free(bytes);
}

/* Two intervals of a second may end in the same one; the names must differ. */
static int64_t next_stamp_s(const struct watched *watched)
{
	int64_t now_s = (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_S);
	return now_s == watched->stamp_s ? now_s + 1 : now_s;
}

/* Ends an interval and begins the next one at the same moment. */
static void end_interval(struct interval *interval, struct client *client, struct watched *watched,
			 bool is_last, void (*tick)(void *), void *tick_arg)
{
	struct writer_moment moment = client_moment(client, tick, tick_arg);
	struct aggregate aggregate;
	struct window next;
	struct ending ending = {
		.interval = interval,
		.client = client,
		.window = &watched->window,
		.moment = &moment,
		.aggregate = &aggregate,
		.has_files = interval->config.period_ms && !is_last && client->writer.dir->fd >= 0,
		.is_last = is_last,
	};
	if ((!ending.has_files && !interval->push) || writer_take(&client->writer, &moment, &aggregate))
		return;
	if (window_open(&client->writer, &moment, &aggregate, KINDS, &next)) {
		aggregate_free(&aggregate);
		return;
	}
	if (ending.has_files)
		watched->stamp_s = next_stamp_s(watched);
	interval_files_stamp(watched->stamp_s * NS_PER_S, ending.stamp);
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++) {
		if (!(KINDS & 1u << kind) ||
		    !writer_has_kind(&client->writer, &aggregate, (enum profile_kind)kind))
			continue;
		if (kind == PROFILE_HEAP)
			end_heap(&ending);
		else
			end_part(&ending, (enum profile_kind)kind);
	}
	aggregate_free(&aggregate);
	window_close(&watched->window);
	watched->window = next;
	if (ending.has_files)
		interval_files_prune(&client->writer, interval->config.keep);
}

/* ---- who is due ------------------------------------------------------------------------------ */

static struct watched *find(const struct interval *interval, const struct client *client)
{
	struct watched *watched = interval->watched;
	while (watched && watched->client_id != client->handle.id)
		watched = watched->next;
	return watched;
}

void interval_continue(struct interval *interval, const struct client *client, const struct client *successor)
{
	struct watched *watched = interval ? find(interval, client) : NULL;
	if (watched)
		watched->client_id = successor->handle.id;
}

/* Before it was first seen nothing was counted; if a worker before this one saw it, something was. */
static int open_window(struct client *client, bool is_from_now, void (*tick)(void *), void *tick_arg,
		       struct window *out_window)
{
	struct writer_moment moment = client_moment(client, tick, tick_arg);
	struct aggregate aggregate;
	if (!is_from_now) {
		window_open_at_start(&client->writer, out_window);
		return 0;
	}
	int error = writer_take(&client->writer, &moment, &aggregate);
	if (error)
		return error;
	error = window_open(&client->writer, &moment, &aggregate, KINDS, out_window);
	aggregate_free(&aggregate);
	return error;
}

/* The first interval begins when the process does.  NULL: no memory. */
static struct watched *add(struct interval *interval, struct client *client, int64_t now_ms,
			   void (*tick)(void *), void *tick_arg)
{
	const struct cprof_control *control = segment_reader_control(&client->reader);
	int64_t start_ms = (int64_t)(control->start_monotonic_ns / NS_PER_MS);
	bool is_young = start_ms <= now_ms && now_ms - start_ms < interval->period_ms;
	bool is_from_now = client->is_inherited && !is_young;
	struct watched *watched = calloc(1, sizeof *watched);
	if (!watched || open_window(client, is_from_now, tick, tick_arg, &watched->window)) {
		free(watched);
		return NULL;
	}
	watched->client_id = client->handle.id;
	watched->due_ms = (is_young ? start_ms : now_ms) + interval->period_ms;
	watched->next = interval->watched;
	interval->watched = watched;
	return watched;
}

/* The process whose turn it is: new, or due; NULL: none. */
static struct client *next_job(const struct interval *interval, struct client *clients, int64_t now_ms)
{
	for (struct client *client = interval ? clients : NULL; client; client = client->next) {
		const struct watched *watched = find(interval, client);
		if (!client->end_monotonic_ns && (!watched || now_ms >= watched->due_ms))
			return client;
	}
	return NULL;
}

bool interval_has_job(const struct interval *interval, struct client *clients, int64_t now_ms)
{
	return next_job(interval, clients, now_ms);
}

void interval_do_job(struct interval *interval, struct client *clients, int64_t now_ms, void (*tick)(void *),
		     void *tick_arg)
{
	struct client *client = next_job(interval, clients, now_ms);
	struct watched *watched = client ? find(interval, client) : NULL;
	if (!client)
		return;
	if (!watched) {
		add(interval, client, now_ms, tick, tick_arg);
		return;
	}
	end_interval(interval, client, watched, false, tick, tick_arg);
	/* What was missed, because the machine slept or files took long, is not made up for. */
	while (watched->due_ms <= now_ms)
		watched->due_ms += interval->period_ms;
}

void interval_end_part(struct interval *interval, struct client *client, void (*tick)(void *), void *tick_arg)
{
	if (!interval || !interval->push)
		return;
	struct watched *watched = find(interval, client);
	if (!watched)
		watched = add(interval, client, clock_monotonic_ms(), tick, tick_arg);
	if (watched)
		end_interval(interval, client, watched, true, tick, tick_arg);
}
