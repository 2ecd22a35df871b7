/* SPDX-License-Identifier: MIT */
/*
 * Where everything lies in a segment: every table's place and size is a pure function of
 * the segment's size, which the reader takes from fstat() and never from the segment.
 *
 * Context: any (async-signal-safe): pure functions.
 */
#ifndef CPROF_GEOMETRY_H
#define CPROF_GEOMETRY_H

#include "cprof_shm.h"

#define CPROF_SEGMENT_BYTES_MIN (UINT64_C(1) << 20)
#define CPROF_SEGMENT_BYTES_MAX (UINT64_C(1) << 34)
#define CPROF_SEGMENT_GRAIN (UINT64_C(1) << 16)

/* Where everything is.  Offsets from the segment's start, multiples of 4096. */
struct cprof_geometry {
	uint64_t segment_bytes;
	uint64_t control_offset; /* 0 */
	uint64_t journal_offset;
	uint64_t modules_offset;
	uint32_t module_count;
	uint64_t strings_offset;
	uint64_t strings_bytes;
	uint64_t stack_index_offset;
	struct cprof_levels stack_index; /* buckets of 8 cprof_stack_slot: 64 bytes */
	uint64_t frames_offset;
	uint64_t frames_bytes;
	uint64_t label_index_offset;
	struct cprof_levels label_index; /* buckets of 8 cprof_label_slot */
	uint64_t labels_offset;
	uint64_t labels_bytes;
	uint64_t totals_offset;
	struct cprof_levels totals;
	uint64_t live_offset;
	struct cprof_levels live;
	uint64_t trace_offset;
	uint32_t trace_chunk_count; /* at most so many */
	uint64_t threads_offset;
	uint32_t thread_count;
};

/* The largest usable size not above `bytes`, or 0 if that is below the minimum. */
static inline uint64_t cprof_segment_size(uint64_t bytes)
{
	if (bytes > CPROF_SEGMENT_BYTES_MAX)
		bytes = CPROF_SEGMENT_BYTES_MAX;
	bytes -= bytes % CPROF_SEGMENT_GRAIN;
	return bytes < CPROF_SEGMENT_BYTES_MIN ? 0 : bytes;
}

/* segment_bytes must be a result of cprof_segment_size() other than 0. */
static inline struct cprof_geometry cprof_geometry(uint64_t segment_bytes)
{
	const uint64_t page = 4096;
	const uint64_t part = segment_bytes / 64 / page * page; /* of the segment's 64 parts */
	struct cprof_geometry g = {.segment_bytes = segment_bytes};
	uint64_t at = 2 * page; /* control */
	g.journal_offset = at;
	at += 4 * page;
	/* 1/64 for modules and their paths, at most 8192 rows. */
	g.modules_offset = at;
	uint64_t rows = part / 4 / sizeof(struct cprof_module);
	g.module_count = (uint32_t)(rows > 8192 ? 8192 : rows);
	at += (g.module_count * sizeof(struct cprof_module) + page - 1) / page * page;
	g.strings_offset = at;
	g.strings_bytes = part / 2 / page * page;
	at += g.strings_bytes;
	/* 2/64 */
	g.stack_index_offset = at;
	g.stack_index = cprof_levels_layout(2 * part / (CPROF_BUCKET_SLOTS * sizeof(cprof_stack_slot)));
	at += 2 * part;
	/* 14/64; ids are 32 bits of 8-byte units. */
	g.frames_offset = at;
	g.frames_bytes = 14 * part;
	at += g.frames_bytes;
	/* 1/128: an eighth of that for the index, at least a page; ids have 24 bits. */
	const uint64_t index_bytes = part / 16 < page ? page : part / 16 / page * page;
	g.label_index_offset = at;
	g.label_index = cprof_levels_layout(index_bytes / (CPROF_BUCKET_SLOTS * sizeof(cprof_label_slot)));
	at += index_bytes;
	g.labels_offset = at;
	g.labels_bytes = part / 2 / page * page - index_bytes;
	if (g.labels_bytes > CPROF_LABEL_IDS * UINT64_C(8))
		g.labels_bytes = CPROF_LABEL_IDS * UINT64_C(8);
	at += g.labels_bytes;
	/* 8/64 */
	g.totals_offset = at;
	g.totals = cprof_levels_layout(8 * part / sizeof(struct cprof_total_bucket));
	at += 8 * part;
	/* 18/64 */
	g.live_offset = at;
	g.live = cprof_levels_layout(18 * part / sizeof(struct cprof_live_bucket));
	at += 18 * part;
	/* 4/64; nothing of it is touched without a trace. */
	g.trace_offset = at;
	g.trace_chunk_count = (uint32_t)(4 * part / CPROF_TRACE_CHUNK_BYTES);
	at += 4 * part;
	/* The rest, about 15.5/64. */
	g.threads_offset = at;
	g.thread_count = (uint32_t)((segment_bytes - at) / sizeof(struct cprof_thread));
	return g;
}

#endif
