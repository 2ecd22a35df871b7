/* SPDX-License-Identifier: MIT */
/*
 * Segments in files, for when no collector can be relied on: CPROF_OUT/.NAME.PID.cprof,
 * which `cprof recover` reads.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_SEGMENT_FILE_H
#define PRELOAD_SEGMENT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decides, at load, that this process's and its descendants' segments are files. */
void segment_file_choose(void);
bool segment_file_is_used(void);

/* Makes the segment of process `pid`, as a memfd or a file.  Descriptor or -errno. */
int segment_create(uint32_t pid);

/* Takes the file of the last segment_create() back, if it made one: it was not handed over. */
void segment_file_discard(void);

/* Copies the segment to its file, says so in one line.  For a process that ends without a collector. */
void segment_file_save(void);

/* The name of what was run: the file names begin with it. */
const char *segment_file_program_name(void);

/* The path of this process's segment file. */
void segment_file_path(uint32_t pid, char *out_path, size_t capacity);

#endif
