/* SPDX-License-Identifier: MIT */
/*
 * A window begins where its age says, but not before all that threads recorded since is
 * still there: a span in which single events are missing would show threads as running
 * that waited.  Older chunks go along: they tell names, tasks and what threads were in.
 *
 * Context: see trace_flight.h.
 */
#include "trace_flight.h"

#include <errno.h>

#include "log.h"
#include "trace_reader.h"

#define AGE_DEFAULT_NS UINT64_C(10000000000)

struct window_of_trace {
	struct trace_reading reading;
	struct trace_surroundings surroundings;
	struct trace_gap gap; /* that goes on */
	struct trace_input input;
};

bool trace_flight_is_on(const struct writer *writer)
{
	/* Relaxed: a setting orders nothing. */
	return load_relaxed(&segment_reader_control(writer->reader)->trace) != 0;
}

bool trace_flight_is_requested(const struct writer *writer)
{
	const struct cprof_control *control = segment_reader_control(writer->reader);
	/* Relaxed: whether; the request is loaded again, with order, when it is answered. */
	return load_relaxed(&control->flight_requested) != load_relaxed(&control->flights_done);
}

static uint64_t begin_of_window(const struct cprof_control *control, const struct trace_reading *reading,
				uint64_t until_ns)
{
	uint64_t age_ns = control->flight_age_ns;
	uint64_t complete_ns = trace_reading_complete_from(reading, until_ns);
	uint64_t start_ns = control->start_monotonic_ns;
	/* There was no process before. */
	if (start_ns > complete_ns && start_ns <= until_ns)
		complete_ns = start_ns;
	if (age_ns == 0)
		age_ns = AGE_DEFAULT_NS;
	/* A run that was to be streamed: all that is still there. */
	if (load_relaxed(&control->trace) == CPROF_TRACE_STREAM) /* a setting */
		age_ns = UINT64_MAX;
	uint64_t from_ns = until_ns > age_ns ? until_ns - age_ns : 0;
	/* Before that it was off for a while. */
	uint64_t since_ns = load_relaxed(&control->trace_since_ns); /* ours */
	if (since_ns > from_ns && since_ns <= until_ns)
		from_ns = since_ns;
	return from_ns > complete_ns ? from_ns : complete_ns;
}

/* Of a trace that is streamed as well, and not fast enough, or by nobody. */
static void set_gap(const struct cprof_control *control, struct window_of_trace *window)
{
	uint64_t since_ns = load_relaxed(&control->trace_gap_since_ns); /* orders nothing here */
	if (since_ns == 0)
		return;
	if (window->input.until_ns < since_ns)
		window->input.until_ns = since_ns;
	window->gap = (struct trace_gap){since_ns, window->input.until_ns,
					 load_relaxed(&control->counters[CPROF_LOST_TRACE_EVENTS])};
	window->input.gap_count = 1;
}

static void close_window(struct window_of_trace *window)
{
	trace_surroundings_free(&window->surroundings);
	trace_reading_free(&window->reading);
}

static int open_window(struct writer *writer, const struct writer_moment *moment, pid_t visible_pid,
		       struct window_of_trace *out_window)
{
	const struct cprof_control *control = segment_reader_control(writer->reader);
	struct window_of_trace window = {0};
	int error = trace_reader_take(writer->reader, &window.reading);
	if (error) {
		writer_report_trace(writer, error);
		return error;
	}
	error = trace_file_surround(writer, moment, visible_pid, &window.surroundings, &window.input);
	if (error) {
		close_window(&window);
		return error;
	}
	window.input.chunks = window.reading.chunks;
	window.input.chunk_count = window.reading.chunk_count;
	window.input.until_ns = moment->end_monotonic_ns;
	if (!moment->end_monotonic_ns)
		window.input.until_ns = trace_reading_last_event(&window.reading, UINT64_MAX);
	set_gap(control, &window);
	window.input.from_ns = begin_of_window(control, &window.reading, window.input.until_ns);
	*out_window = window;
	out_window->input.gaps = &out_window->gap;
	return 0;
}

static int save(struct writer *writer, const struct writer_moment *moment, pid_t visible_pid, uint32_t number,
		struct trace_files *out_files)
{
	struct window_of_trace window;
	*out_files = (struct trace_files){.number = number};
	if (writer->dir->fd < 0)
		return -EBADF;
	int error = open_window(writer, moment, visible_pid, &window);
	if (error)
		return error;
	error = trace_file_write(writer, &window.input, out_files);
	close_window(&window);
	return error;
}

int trace_flight_save(struct writer *writer, const struct writer_moment *moment, pid_t visible_pid,
		      struct trace_files *out_files)
{
	uint32_t number = trace_file_next_number(writer);
	*out_files = (struct trace_files){0};
	if (!trace_flight_is_on(writer))
		return -ENOTSUP;
	int error = save(writer, moment, visible_pid, number, out_files);
	/* Release: who sees the number finds the files. */
	if (out_files->names[TRACE_GO][0] || out_files->names[TRACE_PERFETTO][0])
		store_release(&segment_reader_control(writer->reader)->snapshots_done, number);
	return error;
}

int trace_flight_save_last(struct writer *writer, const struct writer_moment *moment,
			   struct trace_files *out_files)
{
	return save(writer, moment, 0, 0, out_files);
}

void trace_flight_answer(struct writer *writer, const struct writer_moment *moment, pid_t visible_pid)
{
	struct cprof_control *control = segment_reader_control(writer->reader);
	struct trace_files files;
	/* Acquire: the events before the request are seen, and its reason. */
	uint32_t request = load_acquire(&control->flight_requested);
	uint32_t reasons = exchange_acquire(&control->flight_reasons, UINT32_C(0));
	log_debug("%s (%u) asks for its flight recorder's window:%s%s%s", writer->name, writer->pid,
		  reasons & CPROF_FLIGHT_BY_SIGNAL ? " signal" : "",
		  reasons & CPROF_FLIGHT_BY_CALL ? " call" : "",
		  reasons & CPROF_FLIGHT_BY_SLOW ? " slow region or task" : "");
	if (trace_flight_save(writer, moment, visible_pid, &files) == -ENOTSUP)
		log_warn("no flight recorder's window of %s (%u): nothing is traced", writer->name,
			 writer->pid);
	/* Release: who sees the number finds the files. */
	store_release(&control->flights_done, request);
}

int trace_flight_encode(struct writer *writer, const struct writer_moment *moment, pid_t visible_pid,
			enum trace_format format, void **out_bytes, size_t *out_size)
{
	struct window_of_trace window;
	int error = open_window(writer, moment, visible_pid, &window);
	if (error)
		return error;
	error = trace_encode(&window.input, format, out_bytes, out_size);
	close_window(&window);
	return error;
}
