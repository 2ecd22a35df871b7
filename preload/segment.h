/* SPDX-License-Identifier: MIT */
/*
 * The segment as the profiled process sees it: where its tables are.  The mapping
 * is made at start, and again by a forked child at its first sample; it is never
 * unmapped.
 *
 * Context: any (async-signal-safe) unless noted.
 */
#ifndef PRELOAD_SEGMENT_H
#define PRELOAD_SEGMENT_H

#include "cprof_compiler.h"
#include "cprof_geometry.h"

struct segment {
	unsigned char *base; /* NULL until there is a segment: nothing is recorded then */
	struct cprof_geometry geometry;
};

/* Written by segment_create() only, while no other thread records; read by everybody. */
extern struct segment segment;

/*
 * Creates a sealed memfd of at most `bytes_max` (reduced to what RLIMIT_AS / 16 and
 * RLIMIT_FSIZE allow), maps it and makes it the process's segment, all zero.
 * Returns the descriptor, which the caller hands over and closes, or -errno; then
 * the old segment, if any, stays.  Allocates nothing, leaves errno alone.
 */
int segment_create_memfd(uint64_t bytes_max);

/* A sealed memfd of this size, which is not mapped.  Descriptor or -errno. */
int segment_make_memfd(uint64_t bytes);

/* Puts a file of the segment's size, and with its content, in the segment's place.  0 or -errno. */
int segment_replace(int fd);

/*
 * As segment_create_memfd() in a new file at `path` (mode 0600, O_EXCL), whose blocks are allocated
 * beforehand so that a full disk cannot raise SIGBUS later.
 */
int segment_create_file(const char *path, uint64_t bytes_max);

static inline struct cprof_control *segment_control(void)
{
	return (struct cprof_control *)(void *)segment.base;
}
static inline struct cprof_module *segment_module(uint32_t row)
{
	return (struct cprof_module *)(void *)(segment.base + segment.geometry.modules_offset) + row;
}
static inline char *segment_strings(void)
{
	return (char *)segment.base + segment.geometry.strings_offset;
}
static inline cprof_stack_slot *segment_stack_bucket(uint32_t bucket)
{
	return (cprof_stack_slot *)(void *)(segment.base + segment.geometry.stack_index_offset) +
	       (uint64_t)bucket * CPROF_BUCKET_SLOTS;
}
static inline uint64_t *segment_frames(void)
{
	return (uint64_t *)(void *)(segment.base + segment.geometry.frames_offset);
}
static inline cprof_label_slot *segment_label_bucket(uint32_t bucket)
{
	return (cprof_label_slot *)(void *)(segment.base + segment.geometry.label_index_offset) +
	       (uint64_t)bucket * CPROF_BUCKET_SLOTS;
}
static inline char *segment_labels(void)
{
	return (char *)segment.base + segment.geometry.labels_offset;
}
static inline struct cprof_total_bucket *segment_total_bucket(uint32_t bucket)
{
	return (struct cprof_total_bucket *)(void *)(segment.base + segment.geometry.totals_offset) + bucket;
}
static inline struct cprof_live_bucket *segment_live_bucket(uint32_t bucket)
{
	return (struct cprof_live_bucket *)(void *)(segment.base + segment.geometry.live_offset) + bucket;
}
static inline struct cprof_trace_chunk *segment_trace_chunk(uint32_t index)
{
	return (struct cprof_trace_chunk *)(void *)(segment.base + segment.geometry.trace_offset) + index;
}
static inline struct cprof_thread *segment_thread(uint32_t slot)
{
	return (struct cprof_thread *)(void *)(segment.base + segment.geometry.threads_offset) + slot;
}

/*
 * Raises one of the control block's "used" marks to at least `count`.  Before what it
 * covers is handed to anybody else: whoever looks there has seen the mark.
 */
static inline void segment_raise(atomic_u32 *used, uint32_t count)
{
	uint32_t seen = load_relaxed(used); /* the CAS decides */
	while (seen < count && !cas_acq_rel(used, &seen, count))
		;
}

/* Adds to a loss counter.  Without a segment there is nowhere to count. */
static inline void segment_count(enum cprof_counter counter, uint64_t n)
{
	if (segment.base)
		add_relaxed(&segment_control()->counters[counter], n); /* a count orders nothing */
}

#endif
