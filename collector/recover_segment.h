/* SPDX-License-Identifier: MIT */
/*
 * A segment that was kept as a file, as a private copy that may be changed.
 *
 * Context: one thread; the caller has called log_open().
 */
#ifndef COLLECTOR_RECOVER_SEGMENT_H
#define COLLECTOR_RECOVER_SEGMENT_H

#include "segment_reader.h"

/*
 * Copies and maps the segment file `path`, and judges it.  0; -EINVAL if it is not a whole
 * segment of this version; or another -errno.  On failure one line has been logged.
 */
int recover_segment_open(const char *path, struct segment_reader *out_reader);

/* What is wrong with a segment's control block, or NULL. */
const char *recover_segment_judge(const struct segment_reader *reader);

/* Say in one line why `path` is of no use, and return -EINVAL, or the error. */
int recover_refuse(const char *path, const char *why);
int recover_fail(const char *path, int error);

#endif
