/* SPDX-License-Identifier: MIT */
/*
 * The parts of a long trace.  A spool that has become large is closed and gets a name with
 * a number, .NAME.PID.N.trace-spool; a child makes the part's files of it, and then
 * removes it.  As long as that has not happened it is there, whoever was killed: the next collector
 * finds it, or `cprof recover` reads it.
 *
 * Who makes a part has its file locked.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_TRACE_PARTS_H
#define COLLECTOR_TRACE_PARTS_H

#include "trace_file.h"
#include "trace_spool.h"
#include "trace_tables.h"

/*
 * How large a part may be.  Making a trace of it takes up to six times as much memory, which is
 * to stay below 150 MB.
 */
#define TRACE_PART_PAGES (UINT32_C(24) << 20 >> 12)

struct trace_parts {
	pid_t maker;      /* the child that makes a part's files, 0: none */
	bool may_wait;    /* there may be one that nobody makes */
	uint32_t waiting; /* how many there are that will be made */
};

/* Whether a child is at it; one that has failed is said.  `options`: of waitpid(). */
bool trace_parts_are_made(struct trace_parts *parts, int options);

/*
 * Closes a spool as a part that ends with the moment: adds what is in open chunks, and names it.  Its number
 * is taken.  On success the spool is closed and a part waits.  0 or -errno: it is as it was.
 */
int trace_parts_close_spool(struct trace_parts *parts, struct writer *writer, struct trace_spool *spool,
			    struct trace_tables *tables, const struct writer_moment *moment);

/* Has a child make the next part that waits and that nobody makes.  False: there is none. */
bool trace_parts_make_next(struct trace_parts *parts, struct writer *writer,
			   const struct writer_moment *moment, pid_t visible_pid);

/* Makes all that wait, and waits for those that others make. */
void trace_parts_finish(struct trace_parts *parts, struct writer *writer, const struct writer_moment *moment,
			pid_t visible_pid);

/* Finds those that another collector left.  When the last of them ended; 0: there is none. */
uint64_t trace_parts_find(struct trace_parts *parts, const struct writer *writer);

#endif
