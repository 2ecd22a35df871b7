/* SPDX-License-Identifier: MIT */
/*
 * Profiles from a segment that was kept as a file because no collector could read it
 * while its process ran, and the trace from what a collector left that was killed
 * (`cprof recover`).
 *
 * Context: one thread; the caller has called log_open().
 */
#ifndef COLLECTOR_RECOVER_H
#define COLLECTOR_RECOVER_H

#include "trace_file.h"

struct recovered {
	char name[CPROF_NAME_BYTES];
	uint32_t pid;
	char files[PROFILE_KIND_COUNT][OUTPUT_NAME_MAX]; /* in out_dir; "": there is none of that kind */
	struct trace_files trace;                        /* likewise */
};

/*
 * Writes to out_dir, under new names: the profiles of the segment file `path`, and its trace,
 * the window or, with the spool that lies beside it, the whole one; or the trace of the spool
 * `path`.  Works on a private copy: files are only read.  Returns 0; -EINVAL if the file is
 * not a whole segment or spool of this version; or another -errno.  On failure one line has been
 * logged that names what is wrong, and out_recovered is untouched.
 */
int recover_file(const char *path, const char *out_dir, struct recovered *out_recovered);

#endif
