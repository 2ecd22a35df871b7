/* SPDX-License-Identifier: MIT */
/*
 * Writes the rows of the segment's module table: what an object is, read from its
 * program headers and notes in memory, from the loader and from /proc.
 *
 * Context: any (async-signal-safe) unless noted.
 */
#ifndef PRELOAD_MODULE_ROWS_H
#define PRELOAD_MODULE_ROWS_H

#include "cprof_shm.h"
#include "image.h"

/*
 * Writes a row for an object and returns its id, or CPROF_MODULE_NONE if the table is
 * full.  An object that was unloaded and comes back at the same place (same file, same
 * build id) gets its old row: programs that load and unload in a loop do not fill the table.
 */
uint32_t module_rows_add(const struct image *image);

/* Rows that the current segment has room for; 0 if there is no segment. */
uint32_t module_rows_limit(void);

void module_rows_mark_unloaded(uint32_t row);

/* Rows handed out so far in the current segment. */
uint32_t module_rows_used(void);

/*
 * Before the program gives up its rights, its root or its system calls: asks for the
 * executable's path, which otherwise the first sample does where the kernel does not let the
 * process see the names of its mappings.
 */
void module_rows_keep_executable(void);

/* Context: init. */
void module_rows_init(void);

#endif
