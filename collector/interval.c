/* SPDX-License-Identifier: MIT */
/*
 * Which files are old is found out from their names each time, so that a worker that
 * takes over removes the files of the one before, and nobody removes those of another
 * run whose process had the same number.
 *
 * Context: collector, main thread; see interval.h.
 */
#include "interval.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cprof_units.h"
#include "log.h"
#include "pprof.h"
#include "profile_kind.h"
#include "window.h"

#define PERIOD_MIN_MS 1000
#define PERIOD_MAX_MS ((int64_t)366 * 24 * 3600 * 1000)
#define KEEP_MAX 1000000
#define NS_PER_MS 1000000
#define SUFFIX ".pb.gz"

/* Kinds of which the interval's part is written. */
#define IN_PARTS (1u << PROFILE_CPU | 1u << PROFILE_BLOCK | 1u << PROFILE_MUTEX)
#define IN_FILES (IN_PARTS | 1u << PROFILE_HEAP)

/* A process, from when it was first seen. */
struct watched {
	struct watched *next;
	uint32_t client_id;
	int64_t due_ms;
	struct window window; /* open: what came before the current interval */
};

struct interval {
	struct interval_config config;
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

struct interval *interval_open(const struct interval_config *config)
{
	struct interval *interval = config->period_ms ? calloc(1, sizeof *interval) : NULL;
	if (interval)
		interval->config = *config;
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

void interval_end_client(struct interval *interval, const struct client *client)
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

/* ---- old files ------------------------------------------------------------------------------- */

void interval_stamp(int64_t realtime_ns, char out_stamp[INTERVAL_STAMP_BYTES])
{
	const time_t seconds = (time_t)(realtime_ns / 1000000000);
	struct tm utc;
	if (!gmtime_r(&seconds, &utc) ||
	    strftime(out_stamp, INTERVAL_STAMP_BYTES, "%Y%m%dT%H%M%SZ", &utc) == 0)
		snprintf(out_stamp, INTERVAL_STAMP_BYTES, "00000000T000000Z");
}

static bool is_stamp(const char *text)
{
	for (int i = 0; i < INTERVAL_STAMP_BYTES - 1; i++)
		if (i == 8 ? text[i] != 'T' : i == 15 ? text[i] != 'Z' : text[i] < '0' || text[i] > '9')
			return false;
	return true;
}

/* The stamp in PREFIX.KIND.STAMP.pb.gz, or NULL. */
static const char *stamp_in(const char *file, const char *prefix, const char *kind)
{
	size_t prefix_length = strlen(prefix);
	size_t kind_length = strlen(kind);
	if (strlen(file) != prefix_length + kind_length + 2 + INTERVAL_STAMP_BYTES - 1 + strlen(SUFFIX) ||
	    memcmp(file, prefix, prefix_length) != 0 || file[prefix_length] != '.' ||
	    memcmp(file + prefix_length + 1, kind, kind_length) != 0 ||
	    file[prefix_length + 1 + kind_length] != '.')
		return NULL;
	const char *stamp = file + prefix_length + kind_length + 2;
	return is_stamp(stamp) && strcmp(stamp + INTERVAL_STAMP_BYTES - 1, SUFFIX) == 0 ? stamp : NULL;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of one kind's files, in order of time.  Their number; *out_names is to be freed with them. */
static size_t list(DIR *directory, const char *prefix, const char *kind, const char *since, char ***out_names)
{
	char **names = NULL;
	size_t count = 0;
	rewinddir(directory);
	for (const struct dirent *entry; (entry = readdir(directory));) { /* NOLINT(concurrency-mt-unsafe) */
		const char *stamp = stamp_in(entry->d_name, prefix, kind);
		if (!stamp || strncmp(stamp, since, INTERVAL_STAMP_BYTES - 1) < 0)
			continue;
		char **grown = reallocarray(names, count + 1, sizeof *names);
		if (!grown)
			break;
		names = grown;
		names[count] = strdup(entry->d_name);
		if (!names[count])
			break;
		count++;
	}
	if (count)
		qsort(names, count, sizeof *names, compare_names);
	*out_names = names;
	return count;
}

void interval_prune(int dir_fd, const char *prefix, const char *since, unsigned keep)
{
	int fd = keep ? openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	if (!directory) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++) {
		char **names;
		size_t count = list(directory, prefix, profile_kinds[kind].name, since, &names);
		for (size_t i = 0; i < count; i++) {
			if (i + keep < count)
				unlinkat(dir_fd, names[i], 0);
			free(names[i]);
		}
		free(names);
	}
	closedir(directory);
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* When the process started, by the clock as it is or as it was then: it may have been set. */
static int64_t start_time_ns(const struct cprof_control *control)
{
	uint64_t said_ns = control->start_realtime_ns;
	int64_t started_ns = said_ns > INT64_MAX ? 0 : (int64_t)said_ns;
	uint64_t start_monotonic_ns = control->start_monotonic_ns;
	int64_t age_ns = now_ns(CLOCK_MONOTONIC) -
			 (start_monotonic_ns > INT64_MAX ? 0 : (int64_t)start_monotonic_ns);
	int64_t by_age_ns = now_ns(CLOCK_REALTIME) - age_ns;
	return by_age_ns < started_ns ? by_age_ns : started_ns;
}

static void prune(const struct interval *interval, const struct writer *writer)
{
	const struct output_name name = writer_name(writer, PROFILE_CPU, 0);
	char since[INTERVAL_STAMP_BYTES];
	char instance[16] = "";
	char prefix[OUTPUT_NAME_MAX];
	interval_stamp(start_time_ns(segment_reader_control(writer->reader)), since);
	if (name.instance > 1)
		snprintf(instance, sizeof instance, "-%u", name.instance);
	snprintf(prefix, sizeof prefix, "%s.%u%s", name.name, name.pid, instance);
	interval_prune(writer->dir->fd, prefix, since, interval->config.keep);
}

/* ---- new files ------------------------------------------------------------------------------- */

static void write_kind(struct client *client, const struct watched *watched, struct aggregate *aggregate,
		       enum profile_kind kind, const struct writer_moment *moment, const char *suffix)
{
	struct writer *writer = &client->writer;
	struct output_name name = writer_name(writer, kind, 0);
	struct writer_profile described;
	char file[OUTPUT_NAME_MAX];
	unsigned char *bytes = NULL;
	size_t size = 0;
	if (!writer_has_kind(writer, aggregate, kind))
		return;
	if (IN_PARTS & 1u << kind) {
		window_subtract(&watched->window, kind, aggregate);
		window_describe(&watched->window, writer, aggregate, kind, moment, &described);
	} else {
		writer_describe(writer, aggregate, kind, moment, &described);
	}
	int error = pprof_encode(&described.profile, moment->tick, moment->tick_arg, &bytes, &size);
	writer_profile_fini(&described);
	name.suffix = suffix;
	if (!error)
		error = output_write(writer->dir->fd, &name, bytes, size, file);
	free(bytes);
	if (error) {
		writer_report(writer, profile_kinds[kind].name, error);
		return;
	}
	writer_keep_instance(writer, &name);
	log_info("wrote %s/%s", writer->dir->path, file);
}

/* Ends an interval and begins the next one at the same moment. */
static void write_interval(struct interval *interval, struct client *client, struct watched *watched,
			   void (*tick)(void *), void *tick_arg)
{
	struct writer_moment moment = client_moment(client, tick, tick_arg);
	struct aggregate aggregate;
	struct window next;
	char stamp[INTERVAL_STAMP_BYTES];
	char suffix[sizeof stamp + sizeof SUFFIX + 1];
	if (client->writer.dir->fd < 0 || writer_take(&client->writer, &moment, &aggregate))
		return;
	if (window_open(&client->writer, &moment, &aggregate, IN_PARTS, &next)) {
		aggregate_free(&aggregate);
		return;
	}
	interval_stamp(now_ns(CLOCK_REALTIME), stamp);
	snprintf(suffix, sizeof suffix, ".%s" SUFFIX, stamp);
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++)
		if (IN_FILES & 1u << kind)
			write_kind(client, watched, &aggregate, (enum profile_kind)kind, &moment, suffix);
	aggregate_free(&aggregate);
	window_close(&watched->window);
	watched->window = next;
	prune(interval, &client->writer);
}

/* ---- who is due ------------------------------------------------------------------------------ */

static struct watched *find(const struct interval *interval, const struct client *client)
{
	struct watched *watched = interval->watched;
	while (watched && watched->client_id != client->handle.id)
		watched = watched->next;
	return watched;
}

/* Before it was first seen nothing was counted; if a worker before this one saw it, something was. */
static int open_window(struct client *client, bool is_taken_over, void (*tick)(void *), void *tick_arg,
		       struct window *out_window)
{
	struct writer_moment moment = client_moment(client, tick, tick_arg);
	struct aggregate aggregate;
	if (!is_taken_over) {
		window_open_at_start(&client->writer, out_window);
		return 0;
	}
	int error = writer_take(&client->writer, &moment, &aggregate);
	if (error)
		return error;
	error = window_open(&client->writer, &moment, &aggregate, IN_PARTS, out_window);
	aggregate_free(&aggregate);
	return error;
}

/* The first interval begins when the process does. */
static void add(struct interval *interval, struct client *client, int64_t now_ms, void (*tick)(void *),
		void *tick_arg)
{
	const struct cprof_control *control = segment_reader_control(&client->reader);
	int64_t start_ms = (int64_t)(control->start_monotonic_ns / NS_PER_MS);
	bool is_taken_over = start_ms > now_ms || now_ms - start_ms >= interval->config.period_ms;
	struct watched *watched = calloc(1, sizeof *watched);
	if (!watched || open_window(client, is_taken_over, tick, tick_arg, &watched->window)) {
		free(watched);
		return;
	}
	watched->client_id = client->handle.id;
	watched->due_ms = (is_taken_over ? now_ms : start_ms) + interval->config.period_ms;
	watched->next = interval->watched;
	interval->watched = watched;
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
	write_interval(interval, client, watched, tick, tick_arg);
	/* What was missed, because the machine slept or files took long, is not made up for. */
	while (watched->due_ms <= now_ms)
		watched->due_ms += interval->config.period_ms;
}
