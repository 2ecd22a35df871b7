/* SPDX-License-Identifier: MIT */
/*
 * A segment as the collector sees it.  Opening checks what the kernel vouches for
 * (size, seals); everything inside stays hostile: load once into a local, validate
 * the local, use only that.
 *
 * The whole segment is mapped read-write, under the SIGBUS guard.  The tables are
 * mostly holes; a mapped read of a hole would allocate its page, so tables are only
 * touched where segment_reader_next_data() finds data.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_SEGMENT_READER_H
#define COLLECTOR_SEGMENT_READER_H

#include "cprof_geometry.h"

#include <stdbool.h>
#include <stddef.h>

struct segment_reader {
	unsigned char *base; /* NULL: not open */
	int fd;
	int guard;
	bool is_memfd; /* no file that has a name */
	struct cprof_geometry geometry;
};

/*
 * Checks and maps the segment behind fd.  On success the reader owns fd.  Errors:
 * -EINVAL not a segment's size or kind of file, -EPROTO wrong magic, -EPROTONOSUPPORT
 * another version, or what mmap said.
 */
int segment_reader_open(int fd, struct segment_reader *out_reader);

/*
 * Whether the segment behind fd, a memfd's, of a process that is gone, shows that nothing was recorded
 * and nothing asked for.  Without mapping it, which is most of what a short process costs.  False where
 * in doubt.
 */
bool segment_reader_finds_nothing(int fd);

/* Unmaps and closes.  Accepts a zeroed or closed reader. */
void segment_reader_close(struct segment_reader *reader);

/* Whether a page was lost under the mapping (file shortened, no memory). */
bool segment_reader_is_damaged(const struct segment_reader *reader);

/*
 * Finds the first run of data at or after `from` and before `end` (offsets in the
 * segment).  False: only holes.  The run is cut at `end`, and page-aligned otherwise.
 */
bool segment_reader_next_data(const struct segment_reader *reader, uint64_t from, uint64_t end,
			      uint64_t *out_start, uint64_t *out_end);

/* Copies `size` bytes at `offset` into zeroed memory, holes left out.  0 or -errno. */
int segment_reader_copy(const struct segment_reader *reader, uint64_t offset, uint64_t size, void *zeroed);

static inline struct cprof_control *segment_reader_control(const struct segment_reader *reader)
{
	return (struct cprof_control *)(void *)reader->base;
}
static inline struct cprof_journal *segment_reader_journal(const struct segment_reader *reader)
{
	return (struct cprof_journal *)(void *)(reader->base + reader->geometry.journal_offset);
}
/* row < geometry.module_count */
static inline struct cprof_module *segment_reader_module(const struct segment_reader *reader, uint32_t row)
{
	return (struct cprof_module *)(void *)(reader->base + reader->geometry.modules_offset) + row;
}
/* slot < geometry.thread_count */
static inline struct cprof_thread *segment_reader_thread(const struct segment_reader *reader, uint32_t slot)
{
	return (struct cprof_thread *)(void *)(reader->base + reader->geometry.threads_offset) + slot;
}
/* bucket < geometry.totals.bucket_count */
static inline struct cprof_total_bucket *segment_reader_total(const struct segment_reader *reader,
							      uint32_t bucket)
{
	return (struct cprof_total_bucket *)(void *)(reader->base + reader->geometry.totals_offset) + bucket;
}
/* bucket < geometry.live.bucket_count */
static inline struct cprof_live_bucket *segment_reader_live(const struct segment_reader *reader,
							    uint32_t bucket)
{
	return (struct cprof_live_bucket *)(void *)(reader->base + reader->geometry.live_offset) + bucket;
}

#endif
