/* SPDX-License-Identifier: MIT */
/*
 * Starts the collector such that the program does not notice: no child to wait for,
 * no signal, no descriptor.
 *
 * Context: init.
 */
#ifndef PRELOAD_LAUNCH_H
#define PRELOAD_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Writes the collector's absolute path to out_path: CPROF_COLLECTOR, else beside the
 * library, else ../libexec/cprof/ from there.  False, with the last tried path in
 * out_path, if there is none that can be executed.
 */
bool launch_find_collector(const char *library_path, char *out_path, size_t capacity);

/*
 * Starts `path` with `listen_fd` as its CPROF_COLLECTOR_LISTEN_FD.  `environment` is the
 * program's, from which the collector gets what concerns it.  0 or -errno; that the
 * collector then runs is seen by its heartbeat only.
 */
int launch_collector(const char *path, char *const *environment, int listen_fd);

#endif
