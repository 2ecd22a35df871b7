/* SPDX-License-Identifier: MIT */
/*
 * A streamed trace as one whole: what is in its spool, what is in the segment and not yet
 * there, and the gaps between.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_TRACE_ASSEMBLY_H
#define COLLECTOR_TRACE_ASSEMBLY_H

#include "trace_file.h"
#include "trace_spool.h"

struct trace_assembly {
	struct trace_spool_map map;
	struct trace_gap *gaps;
	struct trace_surroundings surroundings;
	struct trace_input input; /* all but from_ns; borrows from the others */
	uint64_t mark;            /* differs from another's if there is something new */
};

/*
 * Puts everything together from `first_page` of the spool on, which nothing is pending for.
 * `lost`: events of ended gaps; `visible_pid`: see trace_reader_threads().  Without an end in
 * `moment` it ends with the last event.  0 or -errno.
 */
int trace_assembly_make(const struct trace_spool *spool, uint32_t first_page, uint64_t lost,
			struct writer *writer, const struct writer_moment *moment, pid_t visible_pid,
			struct trace_assembly *out_assembly);
void trace_assembly_free(struct trace_assembly *assembly);

/* How many events the program has dropped so far. */
uint64_t trace_assembly_lost(const struct writer *writer);

#endif
