/* SPDX-License-Identifier: MIT */
/*
 * The flight recorder's window: what the chunks of a process hold of the last
 * CPROF_FLIGHT_AGE before a moment, as bytes or as files.  Taking it changes nothing:
 * the recorder goes on.
 *
 * Context: collector, main thread; `cprof recover`.
 */
#ifndef COLLECTOR_TRACE_FLIGHT_H
#define COLLECTOR_TRACE_FLIGHT_H

#include "trace_file.h"

/* Whether anything is recorded that a window could show. */
bool trace_flight_is_on(const struct writer *writer);

/* Whether the program has asked for a window that is not saved yet. */
bool trace_flight_is_requested(const struct writer *writer);

/*
 * Saves the window that ends now, or with the process, numbered; of one that is not known
 * to run (moment->end_monotonic_ns 0) it ends with the last event.  `visible_pid`: see
 * trace_reader_threads().  0 or -errno (said so); -ENOTSUP: trace_flight_is_on() not.
 */
int trace_flight_save(struct writer *writer, const struct writer_moment *moment, pid_t visible_pid,
		      struct trace_files *out_files);

/* The same under the final name, without a number. */
int trace_flight_save_last(struct writer *writer, const struct writer_moment *moment,
			   struct trace_files *out_files);

/* The same for trace_flight_is_requested(), which it then is no more, whatever came of it. */
void trace_flight_answer(struct writer *writer, const struct writer_moment *moment, pid_t visible_pid);

/* One form of the window, to be freed by the caller. */
int trace_flight_encode(struct writer *writer, const struct writer_moment *moment, pid_t visible_pid,
			enum trace_format format, void **out_bytes, size_t *out_size);

#endif
