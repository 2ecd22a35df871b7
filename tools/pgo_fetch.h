/* SPDX-License-Identifier: MIT */
/*
 * Profiles that are not files but URLs: of a program served by CPROF_HTTP, or of any
 * other that has /debug/pprof/profile.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_FETCH_H
#define TOOLS_PGO_FETCH_H

#include <stdbool.h>
#include <stddef.h>

/* http://, https://, or unix:SOCKET[:/PATH], where PATH is a CPU profile of 30 s if left out. */
bool pgo_fetch_is_url(const char *word);

/*
 * Fetches into a new file, which the caller removes; its name goes to `path`.  0, or
 * -errno and said why.
 */
int pgo_fetch(const char *url, char *path, size_t path_bytes);

/*
 * What curl(1) is to be told on its standard input; the address may hold a password,
 * which a command line would show to everybody.  -EINVAL: a character that cannot be in
 * an address; -E2BIG: it is too long.
 */
int pgo_fetch_config(const char *url, char *config, size_t config_bytes);

#endif
