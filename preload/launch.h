/* SPDX-License-Identifier: MIT */
/*
 * Starts the collector such that the program does not notice: no child to wait for,
 * no signal, no descriptor.
 *
 * Context: init, unless noted.
 */
#ifndef PRELOAD_LAUNCH_H
#define PRELOAD_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>

/* Remembers where libcprof.so lies, and what of the program's environment concerns a collector. */
void launch_prepare(const char *library_path, char *const *environment);

/*
 * Writes the collector's absolute path to out_path: CPROF_COLLECTOR, else beside the
 * library, else ../libexec/cprof/ from there.  False, with the last tried path in
 * out_path, if there is none that can be executed.
 */
bool launch_find_collector(char *out_path, size_t capacity);

/*
 * Starts `path` with `listen_fd` as its CPROF_COLLECTOR_LISTEN_FD.  0 or -errno; that the
 * collector then runs is seen by its heartbeat only.
 */
int launch_collector(const char *path, int listen_fd);

/*
 * Starts one again, at any time, which says nothing on the program's stderr.  Does not wait for it.
 * Context: any (async-signal-safe), one thread at a time.
 */
int launch_another(int listen_fd);

#endif
