/* SPDX-License-Identifier: MIT */
/*
 * The files of intervals, NAME.PID.KIND.TIME.pb.gz, and which of them stay.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_INTERVAL_FILES_H
#define COLLECTOR_INTERVAL_FILES_H

#include "writer.h"

#define INTERVAL_STAMP_BYTES 17

/* "20261122T084327Z": sorts as time does. */
void interval_files_stamp(int64_t realtime_ns, char out_stamp[INTERVAL_STAMP_BYTES]);

/* Writes one of them.  0 or -errno. */
int interval_files_write(struct writer *writer, enum profile_kind kind,
			 const char stamp[INTERVAL_STAMP_BYTES], const unsigned char *bytes, size_t size);

/* Removes all but the newest `keep` of each kind of the writer's process; 0: none. */
void interval_files_prune(const struct writer *writer, unsigned keep);

/*
 * Of the files in a directory that are called `prefix`.KIND.TIME.pb.gz, TIME not before
 * `since`, removes all but the newest `keep` of each kind.
 */
void interval_files_prune_named(int dir_fd, const char *prefix, const char *since, unsigned keep);

#endif
