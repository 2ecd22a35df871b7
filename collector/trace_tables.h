/* SPDX-License-Identifier: MIT */
/*
 * What the chunks of a spool refer to - stacks, modules, their paths -, as pages of the
 * spool: bytes of the segment with their place in it.  From them the part of the segment
 * is made again that a trace needs, when the segment itself is gone.
 *
 * Context: collector, main thread; restoring: `cprof recover`.
 */
#ifndef COLLECTOR_TRACE_TABLES_H
#define COLLECTOR_TRACE_TABLES_H

#include "segment_reader.h"
#include "trace_spool.h"

/* What of a segment's tables a spool holds already; all zero: nothing. */
struct trace_tables {
	unsigned char *has_stack; /* bits by id */
	uint64_t *rows;           /* of each module's row as it was put there, one number; 0: not yet */
};

/*
 * Adds to the spool what its pending chunks refer to and it does not hold yet.  To be called
 * before they are flushed: what is in the file can be read at any moment.  0 or -errno.
 */
int trace_tables_save(struct trace_tables *tables, const struct segment_reader *reader,
		      struct trace_spool *spool);
void trace_tables_free(struct trace_tables *tables);

/*
 * Writes what a page of a spool holds of a segment into a file of that size; what is no such page
 * is left out.  0, -EINVAL (it makes no sense) or another -errno.
 */
int trace_tables_restore(const struct cprof_trace_chunk *page, int fd, const struct cprof_geometry *geometry);

#endif
