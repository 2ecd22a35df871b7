/* SPDX-License-Identifier: MIT */
/*
 * A process is only ever observed: by its pidfd, by its segment, and by its CPU
 * clock, which has to be read while the process still can be named.
 *
 * Context: collector, main thread.
 */
#include "client.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "process_end.h"

/* How much of a trace may be lost when everybody is killed at once. */
#define SAVE_OPEN_MS 250

/* ---- the process ------------------------------------------------------------------------- */

/* Whether the process still can be named: it runs, or nobody has waited for it yet. */
static bool is_nameable(const struct client *client)
{
	if (client->handle.pidfd >= 0)
		return syscall(SYS_pidfd_send_signal, client->handle.pidfd, 0, NULL, 0) == 0 ||
		       errno == EPERM;
	return client->handle.peer_pid > 0 && (kill(client->handle.peer_pid, 0) == 0 || errno == EPERM);
}

bool client_is_gone(const struct client *client)
{
	if (client->handle.pidfd < 0)
		return !is_nameable(client);
	struct pollfd gone = {.fd = client->handle.pidfd, .events = POLLIN};
	int ready = poll(&gone, 1, 0);
	/* Without poll() an end is noticed once the parent has waited for it. */
	return ready < 0 && errno != EINTR ? !is_nameable(client) : ready == 1 && gone.revents;
}

/*
 * Whether peer_pid names the process.  A pid without its process may be another's by
 * now, and so may it be in a /proc that is not ours.
 */
static bool is_named_by_pid(const struct client *client)
{
	return is_nameable(client) &&
	       (client->handle.pidfd < 0 || pidfd_pid(client->handle.pidfd) == client->handle.peer_pid);
}

/* The process's pid where its threads have the numbers that it knows them by; else 0. */
static pid_t visible_pid(const struct client *client)
{
	bool is_alike = client->handle.peer_pid > 0 &&
			client->handle.pid == (uint32_t)client->handle.peer_pid;
	return is_alike && is_named_by_pid(client) ? client->handle.peer_pid : 0;
}

static void read_clock(struct client *client)
{
	clockid_t clock;
	struct timespec time;
	if (client->handle.peer_pid <= 0 || clock_getcpuclockid(client->handle.peer_pid, &clock) ||
	    clock_gettime(clock, &time))
		return;
	/* Asked after the clock was read: the pid was still this process's then. */
	if (!is_nameable(client))
		return;
	client->clock_ns = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
	client->clock_at_ns = clock_ns(CLOCK_MONOTONIC);
}

/* The best that is known of the image's CPU time at `now_ns`. */
static struct comments_clock image_clock(const struct client *client, uint64_t now_ns)
{
	const struct cprof_control *control = segment_reader_control(&client->reader);
	uint64_t base = load_relaxed(&control->cpu_clock_base_ns); /* written once */
	uint64_t said = load_relaxed(&control->cpu_clock_ns);      /* stored before final_requested */
	struct comments_clock clock = {0};
	if (client->clock_ns)
		clock = (struct comments_clock){true, client->clock_ns, now_ns - client->clock_at_ns};
	if (said > client->clock_ns)
		clock = (struct comments_clock){true, said, 0};
	if (clock.age_ns < 1000000)
		clock.age_ns = 0;
	clock.clock_ns = clock.clock_ns > base ? clock.clock_ns - base : 0;
	return clock;
}

/* ---- the segment --------------------------------------------------------------------------- */

static void report_damage(struct client *client, uint32_t corrupt_rings)
{
	if (corrupt_rings && !client->is_corrupt_reported) {
		client->is_corrupt_reported = true;
		log_warn("the segment of %s (%u) was overwritten: its profiles may miss samples",
			 client->writer.name, client->writer.pid);
	}
	if (!client->is_damage_reported && segment_reader_is_damaged(&client->reader)) {
		client->is_damage_reported = true;
		log_warn("the segment of %s (%u) was shortened or found no memory: its profiles may miss "
			 "samples",
			 client->writer.name, client->writer.pid);
	}
}

/*
 * A segment kept as a file has done its duty once the profiles exist.  Only a file
 * that looks like ours and is the one we hold is removed.
 */
static void unlink_segment_file(const struct client *client)
{
	char link[64];
	char path[PATH_MAX];
	struct stat held;
	struct stat named;
	snprintf(link, sizeof link, "/proc/self/fd/%d", client->reader.fd);
	ssize_t n = client->reader.is_memfd ? 0 : readlink(link, path, sizeof path - 1);
	if (n <= 0)
		return;
	path[n] = '\0';
	const char *slash = strrchr(path, '/');
	size_t suffix = strlen(CPROF_SEGMENT_FILE_SUFFIX);
	if (!slash || strncmp(slash + 1, CPROF_SEGMENT_FILE_PREFIX, strlen(CPROF_SEGMENT_FILE_PREFIX)) != 0 ||
	    (size_t)n < suffix || strcmp(path + n - suffix, CPROF_SEGMENT_FILE_SUFFIX) != 0)
		return;
	if (fstat(client->reader.fd, &held) || lstat(path, &named) || held.st_dev != named.st_dev ||
	    held.st_ino != named.st_ino)
		return;
	if (unlink(path))
		log_warn("cannot remove %s: %s", path, log_error_text(errno));
}

static const char *open_error(int error)
{
	switch (error) {
	case -EINVAL:
		return "not a sealed segment";
	case -EPROTO:
		return "not a segment";
	case -EPROTONOSUPPORT:
		return "a segment of another version of libcprof.so";
	default:
		return log_error_text(-error);
	}
}

struct client *client_open(const struct client_handle *handle, struct writer_dir *dir)
{
	struct client *client = calloc(1, sizeof *client);
	struct client_handle owned = *handle;
	int error = client ? segment_reader_open(owned.segment_fd, &client->reader) : -ENOMEM;
	if (error) {
		log_warn("process %u is not profiled: %s", handle->pid, open_error(error));
		client_handle_close(&owned);
		free(client);
		return NULL;
	}
	struct cprof_control *control = segment_reader_control(&client->reader);
	owned.segment_fd = -1; /* the reader's now */
	client->handle = owned;
	writer_init(&client->writer, &client->reader, &client->rows, dir, owned.is_first);
	if (ring_consumer_replay(&client->reader))
		report_damage(client, 1);
	store_relaxed(&control->collector_pid, (uint32_t)getpid()); /* for people */
	if (control->heap_state == CPROF_HEAP_UNAVAILABLE && owned.is_first)
		log_warn("no heap profile of %s (%u): the program, or a library loaded before libcprof.so, "
			 "defines malloc itself",
			 client->writer.name, client->writer.pid);
	struct ring_drained drained;
	client_drain(client, &drained);
	log_debug("%s (%u) registered", client->writer.name, client->writer.pid);
	return client;
}

void client_drain(struct client *client, struct ring_drained *out_drained)
{
	struct cprof_control *control = segment_reader_control(&client->reader);
	add_relaxed(&control->heartbeat, 1); /* says nothing but "alive" */
	if (!client->end_monotonic_ns)
		read_clock(client);
	ring_consumer_drain(&client->reader, RING_OWNER_RUNNING, out_drained);
	report_damage(client, out_drained->corrupt);
}

unsigned client_read_trace(struct client *client)
{
	unsigned unread = trace_stream_tick(&client->trace, &client->writer);
	int64_t now_ms = clock_monotonic_ms();
	if (now_ms - client->open_saved_ms >= SAVE_OPEN_MS) {
		trace_stream_save_open(&client->trace, &client->writer);
		client->open_saved_ms = now_ms;
	}
	return unread;
}

bool client_is_traced(const struct client *client)
{
	return load_relaxed(&segment_reader_control(&client->reader)->trace) != 0; /* a hint */
}

void client_tell_tick_rate(struct client *client, uint64_t rate)
{
	atomic_u64 *told = &segment_reader_control(&client->reader)->tick_rate;
	/* Relaxed: each call of the program stands alone.  A line that its threads read is not written in vain. */
	if (load_relaxed(told) != rate)
		store_relaxed(told, rate);
}

void client_update_modules(struct client *client)
{
	module_rows_update(&client->rows, &client->reader, client->handle.root_fd);
}

/* ---- requests and files -------------------------------------------------------------------- */

bool client_has_request(struct client *client)
{
	const struct cprof_control *control = segment_reader_control(&client->reader);
	/* Relaxed: whether; what the request covers is loaded again, with order, when it is answered. */
	uint32_t final = load_relaxed(&control->final_requested);
	return (final != load_relaxed(&control->final_done) && final != client->held_final) ||
	       load_relaxed(&control->snapshot_requested) != load_relaxed(&control->snapshots_taken) ||
	       trace_flight_is_requested(&client->writer) || trace_stream_has_part(&client->trace);
}

struct writer_moment client_moment(const struct client *client, void (*tick)(void *), void *tick_arg)
{
	uint64_t now = client->end_monotonic_ns ? client->end_monotonic_ns : clock_ns(CLOCK_MONOTONIC);
	return (struct writer_moment){
		.owner = client->end_monotonic_ns ? RING_OWNER_DEAD : RING_OWNER_RUNNING,
		.root_fd = client->handle.root_fd,
		.cpu_clock = image_clock(client, now),
		.end_monotonic_ns = now,
		.tick = tick,
		.tick_arg = tick_arg,
	};
}

static void acknowledge_final(struct client *client, uint32_t request)
{
	struct cprof_control *control = segment_reader_control(&client->reader);
	client->held_final = 0;
	/* Release: who sees the number finds the files. */
	store_release(&control->final_done, request);
	syscall(SYS_futex, &control->final_done, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void answer_final(struct client *client, uint32_t request, void (*tick)(void *), void *tick_arg)
{
	struct writer_moment moment = client_moment(client, tick, tick_arg);
	int error = writer_write_final(&client->writer, &moment);
	if (trace_stream_write(&client->trace, &client->writer, &moment, visible_pid(client)))
		error = -EIO;
	if (!error)
		unlink_segment_file(client);
	if (client->holds_final)
		client->held_final = request;
	else
		acknowledge_final(client, request);
}

void client_release_final(struct client *client)
{
	if (client->held_final)
		acknowledge_final(client, client->held_final);
}

void client_answer(struct client *client, void (*tick)(void *), void *tick_arg)
{
	struct cprof_control *control = segment_reader_control(&client->reader);
	/* Acquire: the records and the clock stored before the request are seen. */
	uint32_t final = load_acquire(&control->final_requested);
	if (final != load_relaxed(&control->final_done) && final != client->held_final) /* ours */
		answer_final(client, final, tick, tick_arg);
	uint32_t snapshot = load_acquire(&control->snapshot_requested);
	if (snapshot != load_relaxed(&control->snapshots_taken)) {
		struct writer_moment moment = client_moment(client, tick, tick_arg);
		snapshot_write_heap(&client->writer, &moment);
		store_release(&control->snapshots_taken, snapshot);
	}
	if (trace_stream_has_part(&client->trace)) {
		struct writer_moment moment = client_moment(client, tick, tick_arg);
		trace_stream_write_part(&client->trace, &client->writer, &moment, visible_pid(client));
	}
	if (trace_flight_is_requested(&client->writer)) {
		struct writer_moment moment = client_moment(client, tick, tick_arg);
		trace_flight_answer(&client->writer, &moment, visible_pid(client));
	}
	report_damage(client, 0);
}

int client_dump_threads(struct client *client, void (*tick)(void *), void *tick_arg,
			struct thread_dump *out_dump)
{
	const struct thread_dump_source source = {
		.peer_pid = client->handle.peer_pid,
		.pid = client->handle.pid,
		.name = client->writer.name,
		.root_fd = client->handle.root_fd,
		.reader = &client->reader,
		.rows = &client->rows,
	};
	if (!is_named_by_pid(client))
		return -ESRCH;
	client_update_modules(client);
	int error = thread_dump_take(&source, tick, tick_arg, out_dump);
	/* Asked again after all was read: it was this process's then. */
	if (!error && !is_named_by_pid(client)) {
		thread_dump_free(out_dump);
		error = -ESRCH;
	}
	return error;
}

int client_snapshot(struct client *client, const struct snapshot_request *request, void (*tick)(void *),
		    void *tick_arg, struct snapshot *out_snapshot)
{
	struct writer_moment moment = client_moment(client, tick, tick_arg);
	int error = snapshot_write(&client->writer, &moment, request, out_snapshot);
	report_damage(client, 0);
	return error;
}

int client_save_flight(struct client *client, void (*tick)(void *), void *tick_arg,
		       struct trace_files *out_files)
{
	struct writer_moment moment = client_moment(client, tick, tick_arg);
	int error = trace_flight_save(&client->writer, &moment, visible_pid(client), out_files);
	report_damage(client, 0);
	return error;
}

int client_watch_trace(struct client *client, struct trace_watch **out_watch)
{
	return trace_stream_watch(&client->trace, &client->writer, out_watch);
}

int client_end_trace_watch(struct client *client, void (*tick)(void *), void *tick_arg,
			   enum trace_format format, void **out_bytes, size_t *out_size)
{
	struct writer_moment moment = client_moment(client, tick, tick_arg);
	return trace_stream_end_watch(&client->trace, &client->writer, &moment, visible_pid(client), format,
				      out_bytes, out_size);
}

int client_encode_flight(struct client *client, void (*tick)(void *), void *tick_arg,
			 enum trace_format format, void **out_bytes, size_t *out_size)
{
	struct writer_moment moment = client_moment(client, tick, tick_arg);
	if (!trace_flight_is_on(&client->writer))
		return -ENOTSUP;
	return trace_flight_encode(&client->writer, &moment, visible_pid(client), format, out_bytes,
				   out_size);
}

void client_end_by_death(struct client *client)
{
	read_clock(client);
	client->end_monotonic_ns = clock_ns(CLOCK_MONOTONIC);
}

void client_end_by_exec(struct client *client, struct client *successor)
{
	struct cprof_control *control = segment_reader_control(&successor->reader);
	client_end_by_death(client);
	/* Relaxed: the program stores it before it registers, or never. */
	if (load_relaxed(&control->cpu_clock_base_ns) == 0)
		store_relaxed(&control->cpu_clock_base_ns, client->clock_ns);
	/* Profiles without samples are for what the process was in the end: not for `env`, `sh -c exec`. */
	client->writer.is_first = false;
	client->is_replaced = true;
}

/* Whether something else than the program itself ended it, as far as can be known. */
static bool was_killed(const struct client *client)
{
	const struct cprof_control *control = segment_reader_control(&client->reader);
	if (client->is_replaced)
		return false;
	switch (process_end_of(client->handle.pidfd, client->handle.peer_pid)) {
	case PROCESS_END_KILLED:
		return true;
	case PROCESS_END_EXITED:
		return false;
	case PROCESS_END_UNKNOWN:
		break;
	}
	return load_relaxed(&control->cpu_clock_ns) == 0; /* the last that it says before it exits */
}

bool client_is_empty(const struct client *client)
{
	const struct cprof_control *control = segment_reader_control(&client->reader);
	const struct cprof_geometry *geometry = &client->reader.geometry;
	uint64_t start;
	uint64_t end;
	/* Relaxed: nobody writes any more. */
	uint32_t used = load_relaxed(&control->threads_used);
	for (uint32_t i = 0; i < used && i < client->reader.geometry.thread_count; i++)
		if (load_relaxed(&segment_reader_thread(&client->reader, i)->head) != 0)
			return false;
	/* Who was killed may have come no further than the total itself. */
	return !client->handle.is_first && !load_relaxed(&control->total_levels_used) &&
	       !load_relaxed(&control->trace_asked) &&
	       !segment_reader_next_data(&client->reader, geometry->totals_offset, geometry->live_offset,
					 &start, &end);
}

void client_finish(struct client *client, void (*tick)(void *), void *tick_arg)
{
	if (client_has_request(client))
		client_answer(client, tick, tick_arg);
	struct writer_moment moment = client_moment(client, tick, tick_arg);
	struct trace_files files;
	int error = client_is_empty(client) ? 0 : writer_write_final(&client->writer, &moment);
	if (trace_stream_write(&client->trace, &client->writer, &moment, 0))
		error = -EIO;
	if (!client->trace.is_whole && trace_flight_is_on(&client->writer) && was_killed(client))
		error = trace_flight_save_last(&client->writer, &moment, &files) ? -EIO : error;
	if (!error)
		unlink_segment_file(client);
	report_damage(client, 0);
}

void client_close(struct client *client)
{
	trace_stream_close(&client->trace, &client->writer);
	window_close(&client->top);
	metrics_switches_fini(&client->switches);
	module_rows_free(&client->rows);
	segment_reader_close(&client->reader);
	client_handle_close(&client->handle);
	free(client);
}
