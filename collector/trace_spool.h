/* SPDX-License-Identifier: MIT */
/*
 * Where the chunks of a streamed trace wait for its end: a file in the directory of the
 * output, page by page as they were copied, with pages for the gaps between them and for
 * what they refer to (trace_tables.h).  A collector that takes over finds the file by its
 * name and goes on with it; if nobody is left, `cprof recover` reads it.
 *
 * Context: collector, main thread; `cprof recover`.
 */
#ifndef COLLECTOR_TRACE_SPOOL_H
#define COLLECTOR_TRACE_SPOOL_H

#include "trace.h"
#include "u64_map.h"
#include "writer.h"

/* Chunks that are written at once. */
#define TRACE_SPOOL_BATCH 64u

/* In front of the pages: the note, and a copy of the control block. */
#define TRACE_SPOOL_HEAD_BYTES (UINT64_C(3) * CPROF_TRACE_CHUNK_BYTES)

/* Where a page is in the file. */
static inline uint64_t trace_spool_offset(uint32_t page)
{
	return TRACE_SPOOL_HEAD_BYTES + (uint64_t)page * CPROF_TRACE_CHUNK_BYTES;
}

/* What is said about a spool in its first page. */
struct trace_spool_note {
	uint64_t from_ns;     /* the stream's begin */
	uint64_t lost_before; /* the counter CPROF_LOST_TRACE_EVENTS at that time */
	uint64_t cut_ns;      /* not 0: nothing more could be written */
	uint64_t is_given_up; /* not 0: a trace was made of it, and its pages are gone */
	/* Of one that is closed, a part of a trace (trace_parts.h), else 0. */
	uint64_t until_ns;
	uint64_t number;
	uint64_t live_heap_bytes; /* then */
};

struct trace_spool {
	bool is_open;
	int fd;
	char name[OUTPUT_NAME_MAX]; /* "": it has none */
	uint64_t segment_bytes;     /* of the image's segment */
	struct trace_spool_note note;
	uint32_t page_count; /* in the file, without the first */
	struct cprof_trace_chunk *pending;
	uint32_t pending_count;
	/* What a former collector may have copied without having said so to the program. */
	uint64_t taken_claims[TRACE_SPOOL_BATCH];
	uint32_t taken_count;
	struct u64_map homes; /* claims of chunks that were put there open -> their pages */
};

/*
 * Makes the spool of an image, or goes on with the one that a former collector made.  Where
 * the directory does not serve, or `is_kept` is false, it has no name.  0 or -errno.
 */
int trace_spool_open(const struct writer *writer, const struct trace_spool_note *note, bool is_kept,
		     struct trace_spool *out_spool);

/* Opens a file of the output's directory that may be a part of this image's trace.  0 or -errno. */
int trace_spool_open_part(const struct writer *writer, const char *name, struct trace_spool *out_spool);

/* Gives up the pages behind so many. */
void trace_spool_cut_to(struct trace_spool *spool, uint32_t page_count);

/* Whether a file says that it is a spool. */
bool trace_spool_is_one(int fd);

/*
 * Opens the file of a spool to be read: on success the spool owns `fd`.  *out_control is what the
 * image's control block was, at its last chunk.  -EINVAL: it is no spool, or not whole;
 * -EPROTONOSUPPORT: of another version; or another -errno.
 */
int trace_spool_read(int fd, struct trace_spool *out_spool, struct cprof_control *out_control);

/* Whether a former collector has copied it. */
bool trace_spool_has_taken(const struct trace_spool *spool, uint64_t state);

/* Where the next chunk or gap is to be put; NULL: first trace_spool_flush(). */
struct cprof_trace_chunk *trace_spool_room(struct trace_spool *spool);

/* What was put there is to stay. */
void trace_spool_keep(struct trace_spool *spool);

/* Writes pages at once, behind those that were flushed.  0, or -errno: nothing was. */
int trace_spool_append(struct trace_spool *spool, const struct cprof_trace_chunk *pages, uint32_t count);

/* Forgets what was put there and not flushed. */
void trace_spool_drop(struct trace_spool *spool);

/* Makes a page of a gap, and a gap of a page.  False: it is of something else. */
void trace_spool_put_gap(struct cprof_trace_chunk *page, const struct trace_gap *gap);
bool trace_spool_get_gap(const struct cprof_trace_chunk *page, struct trace_gap *out_gap);

/*
 * Makes a page for tables, without anything.  Its payload is where other pages have their
 * events; 0: it is none, or has nothing.
 */
void trace_spool_put_tables(struct cprof_trace_chunk *page);
size_t trace_spool_payload_size(const struct cprof_trace_chunk *page);
void trace_spool_set_payload_size(struct cprof_trace_chunk *page, size_t size);

/*
 * Writes what was kept: a chunk that was put there open in the place where it is.  On failure
 * (-errno) it is lost, and no page is new.
 */
int trace_spool_flush(struct trace_spool *spool);

/* From now on whatever is put there gets a page behind all others. */
void trace_spool_forget_homes(struct trace_spool *spool);

/* Writes the note anew, and the control block. */
int trace_spool_write_note(const struct trace_spool *spool);
int trace_spool_write_control(const struct trace_spool *spool, const struct cprof_control *control);

/* Gives up all pages behind the head, which still holds the note. */
void trace_spool_empty(struct trace_spool *spool);

/* Pages of a spool in memory, with room for more behind them; changes go nowhere. */
struct trace_spool_map {
	void *base;
	size_t byte_count;
	int guard;
	struct cprof_trace_chunk *pages;
	size_t page_count;
	size_t capacity;
};

/* Maps the pages from `first_page` on (flushed before), and room for `extra` more.  0 or -errno. */
int trace_spool_map(const struct trace_spool *spool, uint32_t first_page, uint32_t extra,
		    struct trace_spool_map *out_map);
void trace_spool_unmap(struct trace_spool_map *map);

/* The gaps in a spool, and the events in them.  0 or -errno. */
int trace_spool_sum_gaps(const struct trace_spool *spool, uint64_t *out_count, uint64_t *out_events);

/* Closes; the file stays.  Accepts one that is not open. */
void trace_spool_close(struct trace_spool *spool);

/* The same, and the file goes. */
void trace_spool_remove(const struct writer *writer, struct trace_spool *spool);

#endif
