/* SPDX-License-Identifier: MIT */
/*
 * Opens a file by the path that a profiled process uses, in that process's root.
 *
 * Context: collector.
 */
#ifndef COLLECTOR_ROOT_FILE_H
#define COLLECTOR_ROOT_FILE_H

#include <sys/stat.h>

/*
 * `root_fd`: O_PATH descriptor of /proc/PID/root, or -1 for our own root; `path`
 * absolute; `flags`: 0 or O_NOFOLLOW.  Only regular files, for reading; opening
 * never blocks and never takes a terminal.  Descriptor or -errno.
 */
int root_file_open(int root_fd, const char *path, int flags, struct stat *out_stat);

#endif
