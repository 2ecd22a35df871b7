/* SPDX-License-Identifier: MIT */
/*
 * One registered process image, from its registration to its last file.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_CLIENT_H
#define COLLECTOR_CLIENT_H

#include "metrics_switches.h"
#include "registration.h"
#include "snapshot.h"
#include "thread_dump.h"
#include "trace_flight.h"
#include "trace_stream.h"
#include "window.h"

struct client {
	struct client *next; /* the loop's list */
	struct client_handle handle;
	struct segment_reader reader;
	struct module_rows rows;
	struct writer writer;
	uint64_t clock_ns;         /* the process's CPU clock when last read, 0: never */
	uint64_t clock_at_ns;      /* monotonic time of that */
	uint64_t end_monotonic_ns; /* 0 while the image runs */
	bool is_replaced;          /* it ended by exec */
	struct metrics_switches switches;
	struct window top; /* since the last `cprof top` command */
	struct trace_stream trace;
	int64_t open_saved_ms; /* when what was open was copied last */
	uint32_t held_final;   /* answered, but its process is to wait on; 0: none */
	bool holds_final;      /* it is not told that its files are there before client_release_final() */
	bool is_inherited;     /* a worker before this one served it */
	bool is_corrupt_reported;
	bool is_damage_reported;
};

/*
 * Opens the segment of a handle, completes what a former collector left half done and
 * reads what is there already.  Takes over the handle's descriptors in any case.
 * Returns NULL (said why) if the segment cannot be used.
 */
struct client *client_open(const struct client_handle *handle, struct writer_dir *dir);

/* Cheap and never long: shows that the collector lives, drains, reads the CPU clock. */
void client_drain(struct client *client, struct ring_drained *out_drained);

/* The same for a trace that is streamed: as trace_stream_tick(). */
unsigned client_read_trace(struct client *client);

/* Whether a trace is taken; then it wants to know the rate of the processor's counter (tick_rate.h). */
bool client_is_traced(const struct client *client);
void client_tell_tick_rate(struct client *client, uint64_t rate);

/* Opens the images of objects loaded since the last call. */
void client_update_modules(struct client *client);

/* Whether the process has asked for something that is not done yet. */
bool client_has_request(struct client *client);

/* Does it.  May take long; tick(tick_arg) is called meanwhile. */
void client_answer(struct client *client, void (*tick)(void *), void *tick_arg);

/* Lets a process go that was held back (holds_final).  Does nothing if it was not. */
void client_release_final(struct client *client);

/* Takes a dump of the process's threads: as thread_dump_take().  May take long, see client_answer(). */
int client_dump_threads(struct client *client, void (*tick)(void *), void *tick_arg,
			struct thread_dump *out_dump);

/* Writes numbered files on somebody's command: as snapshot_write().  May take long, see client_answer(). */
int client_snapshot(struct client *client, const struct snapshot_request *request, void (*tick)(void *),
		    void *tick_arg, struct snapshot *out_snapshot);

/* Saves the flight recorder's window: as trace_flight_save().  May take long, see client_answer(). */
int client_save_flight(struct client *client, void (*tick)(void *), void *tick_arg,
		       struct trace_files *out_files);

/* A span of the trace, see trace_stream.h. */
int client_watch_trace(struct client *client, struct trace_watch **out_watch);
int client_end_trace_watch(struct client *client, void (*tick)(void *), void *tick_arg,
			   enum trace_format format, void **out_bytes, size_t *out_size);

/* One form of the flight recorder's window: as trace_flight_encode(); -ENOTSUP: it is off. */
int client_encode_flight(struct client *client, void (*tick)(void *), void *tick_arg,
			 enum trace_format format, void **out_bytes, size_t *out_size);

/* Now, or the image's end, for the functions of writer.h. */
struct writer_moment client_moment(const struct client *client, void (*tick)(void *), void *tick_arg);

/* Whether the process is gone: its pidfd says so, or nobody has its pid. */
bool client_is_gone(const struct client *client);

/*
 * The image is over: by its process's end, or (exec) by the next image of the same
 * process, whose clock then starts where this one's ends.
 */
void client_end_by_death(struct client *client);
void client_end_by_exec(struct client *client, struct client *successor);

/* Whether an ended image has left nothing to be written, as most short processes do: its end takes no time. */
bool client_is_empty(const struct client *client);

/* Writes the last files of an ended image.  May take long, see client_answer(). */
void client_finish(struct client *client, void (*tick)(void *), void *tick_arg);

/* Releases everything; the client is freed. */
void client_close(struct client *client);

#endif
