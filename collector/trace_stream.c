/* SPDX-License-Identifier: MIT */
/*
 * When a stream begins and ends, and what is made of it.  What is open is copied for a
 * trace from where it is: it will be closed.
 *
 * Context: see trace_stream.h.
 */
#include "trace_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "rates.h"
#include "trace_assembly.h"
#include "trace_drain.h"
#include "trace_reader.h"

static struct cprof_control *control_of(const struct writer *writer)
{
	return segment_reader_control(writer->reader);
}

/* ---- begin and end --------------------------------------------------------------------------- */

static void remove_spool(struct trace_stream *stream, struct writer *writer)
{
	trace_tables_free(&stream->tables);
	free(stream->fills);
	stream->fills = NULL;
	trace_spool_remove(writer, &stream->spool);
}

/* All that can be unread comes on top of it before it is closed. */
static uint32_t part_pages(const struct writer *writer)
{
	uint32_t area = trace_reader_chunk_count(writer->reader);
	return TRACE_PART_PAGES - (area < TRACE_PART_PAGES / 2 ? area : TRACE_PART_PAGES / 2);
}

static int open_spool(struct trace_stream *stream, struct writer *writer, bool is_kept, uint64_t from_ns,
		      uint64_t lost)
{
	const struct trace_spool_note note = {.from_ns = from_ns, .lost_before = lost};
	int error = trace_spool_open(writer, &note, is_kept, &stream->spool);
	if (error)
		return error;
	stream->claims = 0;
	stream->part_pages = part_pages(writer);
	free(stream->fills);
	stream->fills = NULL;
	if (is_kept)
		trace_file_find_written(writer, &stream->files);
	/* What a former collector has read and told. */
	uint64_t count = 0, events = 0;
	error = trace_spool_sum_gaps(&stream->spool, &count, &events);
	stream->gap_count += count;
	stream->lost = stream->spool.note.lost_before + events;
	return error;
}

/* CPROF_TRACE=full: from the start, or on where another collector was. */
static void begin_whole(struct trace_stream *stream, struct writer *writer)
{
	/* A former one may have died between two parts. */
	uint64_t part_ns = writer->dir->fd < 0 ? 0 : trace_parts_find(&stream->parts, writer);
	uint64_t from_ns = part_ns ? part_ns : control_of(writer)->start_monotonic_ns;
	uint64_t lost = part_ns ? trace_assembly_lost(writer) : 0;
	int error = writer->dir->fd < 0 ? -EBADF : open_spool(stream, writer, true, from_ns, lost);
	if (!error) {
		stream->is_whole = true;
		return;
	}
	stream->is_refused = true;
	writer_report_trace(writer, error);
	remove_spool(stream, writer);
}

/* Nobody reads along from now on. */
static void stop(struct trace_stream *stream, struct writer *writer)
{
	struct cprof_control *control = control_of(writer);
	uint32_t end = trace_reader_chunk_count(writer->reader);
	uint32_t first, last;
	uint32_t asked = load_relaxed(&control->trace_asked); /* a setting */
	rates_set_trace(control, asked & ~(stream->is_refused ? CPROF_TRACE_STREAM : 0u));
	for (uint32_t at = 0; trace_reader_next_run(writer->reader, at, end, &first, &last); at = last)
		for (uint32_t i = first; i < last; i++)
			trace_drain_unmark(trace_reader_chunk(writer->reader, i));
	store_release(&control->trace_gap_since_ns, UINT64_C(0)); /* after the marks */
}

static void end_watch(struct trace_stream *stream, struct writer *writer)
{
	struct trace_watch *watch = stream->watch;
	stream->watch = NULL;
	watch->is_ended = true;
	if (watch->is_left)
		free(watch);
	if (stream->is_whole)
		return;
	stop(stream, writer);
	remove_spool(stream, writer);
}

void trace_watch_leave(struct trace_watch *watch)
{
	if (watch && watch->is_ended)
		free(watch);
	else if (watch)
		watch->is_left = true;
}

unsigned trace_stream_tick(struct trace_stream *stream, struct writer *writer)
{
	const struct cprof_control *control = control_of(writer);
	/* Relaxed: settings. */
	if (load_relaxed(&control->trace_asked) & CPROF_TRACE_STREAM && !stream->is_whole &&
	    !stream->is_refused)
		begin_whole(stream, writer);
	if (stream->watch && stream->watch->is_left)
		end_watch(stream, writer);
	if (stream->is_whole || stream->watch)
		return trace_drain(stream, writer);
	/* Left by a collector that died, or a thread was late to see that the stream is over. */
	if (load_relaxed(&control->trace) & CPROF_TRACE_STREAM || load_relaxed(&control->trace_gap_since_ns))
		stop(stream, writer);
	return 0;
}

void trace_stream_save_open(struct trace_stream *stream, struct writer *writer)
{
	trace_drain_open(stream, writer);
}

/* ---- traces ---------------------------------------------------------------------------------- */

/* Everything from `first_page` of the spool on, and what is open. */
static int assemble(struct trace_stream *stream, struct writer *writer, const struct writer_moment *moment,
		    pid_t visible_pid, uint32_t first_page, struct trace_assembly *out_assembly)
{
	trace_drain(stream, writer);
	return trace_assembly_make(&stream->spool, first_page, stream->lost, writer, moment, visible_pid,
				   out_assembly);
}

/*
 * The disk is full, and most of it may be the spool: what it holds is in memory, as a trace,
 * before it is given up.  Nothing will be added to it any more.
 */
static int write_cut(struct trace_stream *stream, struct writer *writer, struct trace_assembly *assembly)
{
	struct trace_bytes forms[TRACE_FORMAT_COUNT];
	trace_file_encode(&assembly->input, forms);
	trace_assembly_free(assembly);
	if (forms[TRACE_GO].bytes || forms[TRACE_PERFETTO].bytes)
		trace_spool_empty(&stream->spool);
	int error = trace_file_put(writer, forms, &stream->files);
	/* There may be room for one only. */
	return stream->files.names[TRACE_GO][0] || stream->files.names[TRACE_PERFETTO][0] ? 0 : error;
}

/* Writes both files; where the spool leaves no room for them, in its place. */
static int write_whole(struct trace_stream *stream, struct writer *writer, struct trace_assembly *assembly)
{
	int error = trace_file_write(writer, &assembly->input, &stream->files);
	if (error != -ENOSPC && error != -EDQUOT) {
		trace_assembly_free(assembly);
		return error;
	}
	trace_drain_cut(stream, writer, log_error_text(-error));
	return write_cut(stream, writer, assembly);
}

int trace_stream_write(struct trace_stream *stream, struct writer *writer, const struct writer_moment *moment,
		       pid_t visible_pid)
{
	struct trace_assembly assembly;
	/* Nobody has looked yet at a process that ends at once. */
	trace_stream_tick(stream, writer);
	/* Who waits for the files waits for all of them; and two traces at a time take twice the memory. */
	trace_parts_finish(&stream->parts, writer, moment, visible_pid);
	if (!stream->is_whole)
		return 0;
	int error = assemble(stream, writer, moment, visible_pid, 0, &assembly);
	if (error) {
		writer_report_trace(writer, error);
		return error;
	}
	assembly.input.from_ns = stream->spool.note.from_ns;
	bool is_new = assembly.mark != stream->written_mark;
	uint64_t mark = assembly.mark;
	/* What was cut is written once: the spool is given up for it. */
	if (stream->spool.note.is_given_up)
		is_new = false;
	bool is_due = is_new && (assembly.input.chunk_count || writer->is_first);
	if (!is_due)
		trace_assembly_free(&assembly);
	else
		error = trace_drain_is_cut(stream) ? write_cut(stream, writer, &assembly)
						   : write_whole(stream, writer, &assembly);
	stream->written_mark = error ? 0 : mark;
	return error;
}

/* Not of what is written as the whole run's already. */
static bool is_part(const struct trace_stream *stream)
{
	return stream->is_whole && !stream->watch && !trace_drain_is_cut(stream) && !stream->written_mark &&
	       stream->spool.page_count >= stream->part_pages;
}

bool trace_stream_has_part(struct trace_stream *stream)
{
	/* Also while another is made: it would become as large as that takes long. */
	return is_part(stream) || (stream->parts.may_wait && !trace_parts_are_made(&stream->parts, WNOHANG));
}

/*
 * When a part ends that everything was drained to: later than whatever is in its spool, which
 * the next one does not have; and before a gap that goes on, which that one tells.
 */
static uint64_t end_of_part(struct writer *writer, const struct writer_moment *moment)
{
	if (moment->owner == RING_OWNER_DEAD)
		return moment->end_monotonic_ns;
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC);
	/* Relaxed: one that begins now begins later. */
	uint64_t gap_ns = load_relaxed(&control_of(writer)->trace_gap_since_ns);
	return gap_ns && gap_ns < end_ns ? gap_ns : end_ns;
}

void trace_stream_write_part(struct trace_stream *stream, struct writer *writer,
			     const struct writer_moment *moment, pid_t visible_pid)
{
	trace_drain(stream, writer);
	struct writer_moment end = *moment;
	end.end_monotonic_ns = end_of_part(writer, moment);
	uint64_t lost = stream->lost;
	if (is_part(stream) &&
	    !trace_parts_close_spool(&stream->parts, writer, &stream->spool, &stream->tables, &end)) {
		trace_tables_free(&stream->tables);
		int error = open_spool(stream, writer, true, end.end_monotonic_ns, lost);
		if (error) {
			stream->is_whole = false;
			stream->is_refused = true;
			writer_report_trace(writer, error);
		}
	}
	trace_parts_make_next(&stream->parts, writer, moment, visible_pid);
}

int trace_stream_watch(struct trace_stream *stream, struct writer *writer, struct trace_watch **out_watch)
{
	struct cprof_control *control = control_of(writer);
	if (stream->watch)
		return -EBUSY;
	if (trace_reader_chunk_count(writer->reader) == 0)
		return -ENOTSUP;
	struct trace_watch *watch = calloc(1, sizeof *watch);
	int error = watch ? 0 : -ENOMEM;
	if (!error && !stream->is_whole)
		error = open_spool(stream, writer, false, clock_ns(CLOCK_MONOTONIC),
				   trace_assembly_lost(writer));
	if (error) {
		remove_spool(stream, writer);
		free(watch);
		return error;
	}
	/* What is open has its page before that. */
	trace_spool_forget_homes(&stream->spool);
	watch->first_page = stream->spool.page_count;
	if (!trace_drain_is_cut(stream))
		rates_set_trace(control, load_relaxed(&control->trace) | CPROF_TRACE_STREAM); /* ours */
	watch->from_ns = clock_ns(CLOCK_MONOTONIC); /* from now on nothing is missed */
	stream->watch = *out_watch = watch;
	return 0;
}

int trace_stream_end_watch(struct trace_stream *stream, struct writer *writer,
			   const struct writer_moment *moment, pid_t visible_pid, enum trace_format format,
			   void **out_bytes, size_t *out_size)
{
	struct trace_assembly assembly;
	if (!stream->watch)
		return -ECANCELED;
	int error = assemble(stream, writer, moment, visible_pid, stream->watch->first_page, &assembly);
	if (!error) {
		assembly.input.from_ns = stream->watch->from_ns;
		/* Before it is encoded: the program need not pay for that. */
		end_watch(stream, writer);
		error = trace_encode(&assembly.input, format, out_bytes, out_size);
		trace_assembly_free(&assembly);
	} else {
		end_watch(stream, writer);
	}
	return error;
}

void trace_stream_close(struct trace_stream *stream, struct writer *writer)
{
	if (stream->watch)
		end_watch(stream, writer);
	while (trace_parts_are_made(&stream->parts, 0))
		continue;
	if (stream->is_whole && !stream->written_mark && stream->spool.name[0] && stream->spool.page_count) {
		log_error("the trace of %s (%u) could not be written; recover with: cprof recover %s/%s",
			  writer->name, writer->pid, writer->dir->path, stream->spool.name);
		trace_spool_close(&stream->spool);
	}
	remove_spool(stream, writer);
	*stream = (struct trace_stream){0};
}
