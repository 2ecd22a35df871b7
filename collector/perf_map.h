/* SPDX-License-Identifier: MIT */
/*
 * Names of code made at run time: /tmp/perf-PID.map, as JIT compilers write it for
 * perf, one "START SIZE NAME" line for each function, in hexadecimal.
 *
 * Context: collector.
 */
#ifndef COLLECTOR_PERF_MAP_H
#define COLLECTOR_PERF_MAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct perf_map;

/*
 * Reads the map of a process.  `root_fd`: O_PATH descriptor of the process's root,
 * or -1 for our own; `pid` as the process sees it; `owner`: its user.  A file that
 * neither this user nor root nor we own is not believed.  NULL if there is no map.
 * The caller frees it with perf_map_free().
 */
struct perf_map *perf_map_load(int root_fd, uint32_t pid, uid_t owner);

/* The same from bytes.  Lines that make no sense are skipped.  NULL: no memory. */
struct perf_map *perf_map_parse(const char *text, size_t size);

/* The name of the code at an address, which lives as long as the map; or NULL. */
const char *perf_map_find(const struct perf_map *map, uint64_t address);

void perf_map_free(struct perf_map *map);

#endif
