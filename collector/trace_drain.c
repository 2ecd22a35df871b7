/* SPDX-License-Identifier: MIT */
/*
 * Every chunk that was closed since the begin is in the spool, or marked UNREAD in the
 * segment, or both if a collector died in between; see trace_spool.c.
 *
 * What is open is put there now and then too: it is lost when everybody is killed at once.
 *
 * A full disk ends a stream: what it has stays, and the rest of the run is one gap.
 *
 * Context: see trace_drain.h.
 */
#include "trace_drain.h"

#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "rates.h"
#include "trace_assembly.h"
#include "trace_reader.h"

/* Of a spool and of the parts that wait, while these are made more slowly than events come. */
#define PAGES_MAX (UINT32_C(256) << 20 >> 12)

static struct cprof_control *control_of(const struct writer *writer)
{
	return segment_reader_control(writer->reader);
}

void trace_drain_cut(struct trace_stream *stream, struct writer *writer, const char *why)
{
	struct cprof_control *control = control_of(writer);
	log_error("the trace of %s (%u) is cut here: %s", writer->name, writer->pid, why);
	stream->spool.note.cut_ns = clock_ns(CLOCK_MONOTONIC);
	(void)trace_spool_write_note(&stream->spool); /* in place: it has its room */
	rates_set_trace(control, load_relaxed(&control->trace) & ~CPROF_TRACE_STREAM); /* ours */
}

void trace_drain_unmark(struct cprof_trace_chunk *chunk)
{
	uint64_t state = load_relaxed(&chunk->state); /* nobody else stores it while it is marked */
	if (state & CPROF_CHUNK_UNREAD)
		(void)cas_acq_rel(&chunk->state, &state, state & ~CPROF_CHUNK_UNREAD);
}

static bool is_unread(const struct cprof_trace_chunk *chunk)
{
	uint64_t state = load_relaxed(&chunk->state); /* it is loaded again, with order, to be copied */
	return state & CPROF_CHUNK_UNREAD && !(state & CPROF_CHUNK_OPEN);
}

/* Writes what is pending, the chunks at these indices; only then they are the program's again. */
static bool flush(struct trace_stream *stream, struct writer *writer, const uint32_t *indices, uint32_t count)
{
	int error = 0;
	if (stream->spool.name[0] && stream->spool.pending_count)
		error = trace_tables_save(&stream->tables, writer->reader, &stream->spool);
	if (error)
		trace_spool_drop(&stream->spool);
	else
		error = trace_spool_flush(&stream->spool);
	for (uint32_t i = 0; !error && i < count; i++)
		trace_drain_unmark(trace_reader_chunk(writer->reader, indices[i]));
	if (error)
		trace_drain_cut(stream, writer, log_error_text(-error));
	else if (stream->spool.page_count + (uint64_t)stream->parts.waiting * TRACE_PART_PAGES >= PAGES_MAX)
		trace_drain_cut(stream, writer, "it is as large as a trace may be");
	return !trace_drain_is_cut(stream);
}

/* Copies all chunks that are closed and not read.  Their number. */
static uint32_t copy_unread(struct trace_stream *stream, struct writer *writer)
{
	struct trace_spool *spool = &stream->spool;
	uint32_t indices[TRACE_SPOOL_BATCH];
	uint32_t end = trace_reader_chunk_count(writer->reader);
	uint32_t found = 0, count = 0, first, stop;
	for (uint32_t at = 0; trace_reader_next_run(writer->reader, at, end, &first, &stop); at = stop) {
		for (uint32_t i = first; i < stop; i++) {
			struct cprof_trace_chunk *chunk = trace_reader_chunk(writer->reader, i);
			if (!is_unread(chunk))
				continue;
			found++;
			if (trace_spool_has_taken(spool, load_relaxed(&chunk->state))) { /* as above */
				trace_drain_unmark(chunk);
				continue;
			}
			if (!trace_spool_room(spool)) {
				if (!flush(stream, writer, indices, count))
					return found;
				count = 0;
			}
			if (!trace_reader_copy_chunk(chunk, trace_spool_room(spool)))
				continue;
			trace_spool_keep(spool);
			indices[count++] = i;
		}
	}
	(void)flush(stream, writer, indices, count);
	return found;
}

/* Everything is read: threads may record again. */
static void end_gap(struct trace_stream *stream, struct writer *writer, uint64_t since_ns)
{
	/* Release: the marks were taken away before. */
	store_release(&control_of(writer)->trace_gap_since_ns, UINT64_C(0));
	/* Taken now: until they see it, threads drop what happens. */
	uint64_t lost = trace_assembly_lost(writer);
	const struct trace_gap gap = {since_ns, clock_ns(CLOCK_MONOTONIC), lost - stream->lost};
	stream->lost = lost;
	stream->gap_count++;
	trace_spool_put_gap(trace_spool_room(&stream->spool), &gap);
	trace_spool_keep(&stream->spool);
	(void)flush(stream, writer, NULL, 0);
	log_debug("%s (%u): a gap of %llu us in its trace", writer->name, writer->pid,
		  (unsigned long long)(gap.until_ns - gap.from_ns) / 1000);
}

unsigned trace_drain(struct trace_stream *stream, struct writer *writer)
{
	struct cprof_control *control = control_of(writer);
	uint32_t end = trace_reader_chunk_count(writer->reader);
	/* Acquire: what was recorded before the gap is seen as closed. */
	uint64_t gap_since_ns = load_acquire(&control->trace_gap_since_ns);
	/* Relaxed: who takes a chunk closes one; those that are closed besides can wait. */
	uint64_t claims = load_relaxed(&control->trace_claims);
	if (!end || trace_drain_is_cut(stream) || (claims == stream->claims && !gap_since_ns))
		return 0;
	uint32_t found = copy_unread(stream, writer);
	stream->claims = claims;
	if (gap_since_ns && !trace_drain_is_cut(stream))
		end_gap(stream, writer, gap_since_ns);
	return (unsigned)((uint64_t)found * 1000 / end);
}

/* Claim and number of events in one: it changes when there is something new. */
static uint64_t fill_of(const struct cprof_trace_chunk *chunk, uint64_t state)
{
	uint32_t used = load_acquire(&chunk->used); /* it is loaded again, to be copied */
	return (state >> CPROF_CHUNK_CLAIM_SHIFT) << 8 | (used & 0xff);
}

void trace_drain_open(struct trace_stream *stream, struct writer *writer)
{
	struct trace_spool *spool = &stream->spool;
	uint32_t end = trace_reader_chunk_count(writer->reader);
	uint32_t first, stop;
	/* Only a spool with a name outlives us. */
	if (!stream->is_whole || !spool->name[0] || trace_drain_is_cut(stream))
		return;
	if (!stream->fills)
		stream->fills = calloc(end + 1, sizeof *stream->fills);
	for (uint32_t at = 0; stream->fills && trace_reader_next_run(writer->reader, at, end, &first, &stop);
	     at = stop) {
		for (uint32_t i = first; i < stop; i++) {
			const struct cprof_trace_chunk *chunk = trace_reader_chunk(writer->reader, i);
			uint64_t state = load_relaxed(&chunk->state); /* as above */
			uint64_t fill = fill_of(chunk, state);
			if (!(state & CPROF_CHUNK_OPEN) || stream->fills[i] == fill)
				continue;
			if (!trace_spool_room(spool) && !flush(stream, writer, NULL, 0))
				return;
			if (!trace_reader_copy_chunk(chunk, trace_spool_room(spool)))
				continue;
			trace_spool_keep(spool);
			stream->fills[i] = fill;
		}
	}
	(void)flush(stream, writer, NULL, 0);
}
