/* SPDX-License-Identifier: MIT */
/*
 * The trace of a whole run from the spool that a killed collector left (trace_spool.h), with
 * the segment, if that was kept as a file, or without it.
 *
 * Context: one thread; the caller has called log_open().
 */
#ifndef COLLECTOR_RECOVER_TRACE_H
#define COLLECTOR_RECOVER_TRACE_H

#include "recover.h"

/* Whether a file says that it is a spool. */
bool recover_trace_is_spool(const char *path);

/* The same as recover_file() of a spool. */
int recover_trace_file(const char *path, const char *out_dir, struct recovered *out_recovered);

/*
 * Writes the trace of a kept segment, whose spool lies in `directory`.  -ENOENT: there is
 * none there; else 0 or -errno (said so).
 */
int recover_trace_beside(struct writer *writer, const struct writer_moment *moment, const char *directory,
			 struct trace_files *out_files);

#endif
