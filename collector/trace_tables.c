/* SPDX-License-Identifier: MIT */
/*
 * A stack never changes once an event refers to it, so each is put down once, when the
 * first event that does is about to be.  A stretch of the arena could not be: others may
 * still be writing in it.  A module's row is put down again when it has changed.
 *
 * Context: see trace_tables.h.
 */
#include "trace_tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNIT sizeof(uint64_t)
/* Of a page; the rest is its head. */
#define PAYLOAD_BYTES (CPROF_TRACE_CHUNK_EVENTS * sizeof(struct cprof_event))

/* Bytes of the segment; they follow, padded to whole units. */
struct piece {
	uint64_t offset;
	uint64_t size;
};

/* A page on its way to the spool. */
struct sink {
	struct trace_spool *spool;
	struct cprof_trace_chunk page;
	int error;
};

static size_t padded(uint64_t size)
{
	return (size_t)(size + UNIT - 1) / UNIT * UNIT;
}

/* ---- putting down ------------------------------------------------------------------------------ */

static void send_page(struct sink *sink)
{
	if (trace_spool_payload_size(&sink->page) && !sink->error)
		sink->error = trace_spool_append(sink->spool, &sink->page, 1);
	trace_spool_put_tables(&sink->page);
}

static void put(struct sink *sink, uint64_t offset, const void *bytes, size_t size)
{
	const unsigned char *from = bytes;
	while (size) {
		size_t used = trace_spool_payload_size(&sink->page);
		size_t room = PAYLOAD_BYTES - used;
		if (room < sizeof(struct piece) + UNIT) {
			send_page(sink);
			continue;
		}
		room -= sizeof(struct piece);
		struct piece piece = {offset, size < room ? size : room};
		unsigned char *to = (unsigned char *)sink->page.events + used;
		memcpy(to, &piece, sizeof piece);
		memcpy(to + sizeof piece, from, (size_t)piece.size);
		trace_spool_set_payload_size(&sink->page, used + sizeof piece + padded(piece.size));
		from += piece.size;
		offset += piece.size;
		size -= (size_t)piece.size;
	}
}

static void save_stack(struct trace_tables *tables, const struct segment_reader *reader, uint32_t id,
		       struct sink *sink)
{
	uint64_t words[1 + CPROF_STACK_FRAMES_MAX];
	struct cprof_stack header;
	uint64_t count = reader->geometry.frames_bytes / UNIT;
	if (id == 0 || id >= count || tables->has_stack[id / 8] >> id % 8 & 1)
		return;
	uint64_t offset = reader->geometry.frames_offset + id * UNIT;
	memcpy(&header, reader->base + offset, sizeof header);
	if (header.frame_count > CPROF_STACK_FRAMES_MAX || header.frame_count > count - id - 1)
		return;
	memcpy(words, &header, sizeof header);
	memcpy(words + 1, reader->base + offset + sizeof header, header.frame_count * UNIT);
	put(sink, offset, words, (1 + (size_t)header.frame_count) * UNIT);
	tables->has_stack[id / 8] |= (unsigned char)(1u << id % 8);
}

/* A row as one number, never 0. */
static uint64_t number_of(const struct cprof_module *row)
{
	uint64_t number = 1;
	uint64_t words[sizeof *row / UNIT];
	memcpy(words, row, sizeof *row);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		number = cprof_mix64(number ^ words[i]);
	return number ? number : 1;
}

static void save_row(struct trace_tables *tables, const struct segment_reader *reader, uint32_t row,
		     struct sink *sink)
{
	const struct cprof_geometry *g = &reader->geometry;
	struct cprof_module copy;
	const struct cprof_module *shared = segment_reader_module(reader, row);
	/* Acquire: pairs with the release store that publishes the row. */
	uint32_t state = load_acquire(&shared->state);
	if (state != CPROF_MODULE_LOADED && state != CPROF_MODULE_UNLOADED)
		return;
	memcpy(&copy, shared, sizeof copy);
	uint64_t number = number_of(&copy);
	if (tables->rows[row] == number)
		return;
	if (copy.path_bytes < CPROF_PATH_BYTES && copy.path_offset < g->strings_bytes &&
	    copy.path_bytes <= g->strings_bytes - copy.path_offset) {
		uint64_t path = g->strings_offset + copy.path_offset;
		put(sink, path, reader->base + path, copy.path_bytes);
	}
	put(sink, g->modules_offset + row * sizeof copy, &copy, sizeof copy);
	tables->rows[row] = number;
}

static int make_room(struct trace_tables *tables, const struct segment_reader *reader)
{
	if (!tables->has_stack)
		tables->has_stack = calloc(reader->geometry.frames_bytes / UNIT / 8 + 1, 1);
	if (!tables->rows)
		tables->rows = calloc(reader->geometry.module_count + 1, sizeof *tables->rows);
	return tables->has_stack && tables->rows ? 0 : -ENOMEM;
}

int trace_tables_save(struct trace_tables *tables, const struct segment_reader *reader,
		      struct trace_spool *spool)
{
	struct sink sink = {.spool = spool};
	int error = make_room(tables, reader);
	if (error)
		return error;
	trace_spool_put_tables(&sink.page);
	for (uint32_t i = 0; i < spool->pending_count; i++) {
		const struct cprof_trace_chunk *chunk = &spool->pending[i];
		uint32_t used =
			load_relaxed(&chunk->used); /* a private copy, like the events; never too large */
		for (uint32_t e = 0; e < used; e++) {
			uint32_t kind = cprof_event_kind_of(load_relaxed(&chunk->events[e].head));
			if (kind != CPROF_EVENT_NONE && kind != CPROF_EVENT_TEXT)
				save_stack(tables, reader, chunk->events[e].stack, &sink);
		}
	}
	/* Acquire: rows below it exist.  After the stacks: what these refer to is there. */
	uint32_t rows = load_acquire(&segment_reader_control(reader)->modules_used);
	for (uint32_t row = 0; row < rows && row < reader->geometry.module_count; row++)
		save_row(tables, reader, row, &sink);
	send_page(&sink);
	/* What it counts is there now. */
	return sink.error ? sink.error : trace_spool_write_control(spool, segment_reader_control(reader));
}

void trace_tables_free(struct trace_tables *tables)
{
	free(tables->has_stack);
	free(tables->rows);
	*tables = (struct trace_tables){0};
}

/* ---- restoring --------------------------------------------------------------------------------- */

int trace_tables_restore(const struct cprof_trace_chunk *page, int fd, const struct cprof_geometry *geometry)
{
	unsigned char bytes[PAYLOAD_BYTES];
	size_t size = trace_spool_payload_size(page);
	memcpy(bytes, page->events, sizeof bytes);
	if (size > sizeof bytes)
		return -EINVAL;
	for (size_t at = 0; at < size;) {
		struct piece piece;
		if (size - at < sizeof piece)
			return -EINVAL;
		memcpy(&piece, bytes + at, sizeof piece);
		at += sizeof piece;
		if (piece.size == 0 || piece.size > size - at || padded(piece.size) > size - at)
			return -EINVAL;
		/* The control block is not for them. */
		if (piece.offset < geometry->modules_offset || piece.offset >= geometry->segment_bytes ||
		    piece.size > geometry->segment_bytes - piece.offset)
			return -EINVAL;
		ssize_t written = pwrite(fd, bytes + at, (size_t)piece.size, (off_t)piece.offset);
		if (written != (ssize_t)piece.size)
			return written < 0 ? -errno : -EIO;
		at += padded(piece.size);
	}
	return 0;
}
