/* SPDX-License-Identifier: MIT */
/*
 * Files under CPROF_OUT: written under a temporary name, mode 0600, synced to the
 * directory by one rename-like link that never replaces an existing file.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_OUTPUT_H
#define COLLECTOR_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTPUT_NAME_MAX 256

/* Opens (and makes, 0700, with parents, if missing) the directory. Descriptor or -errno. */
int output_open_dir(const char *path);

/* Which file of a process: NAME.PID.KIND.pb.gz, or NAME.PID.KIND.N.pb.gz for number > 0. */
struct output_name {
	const char *name;
	uint32_t pid;
	const char *kind; /* "": left out, with its point */
	uint32_t number;
	const char *suffix; /* NULL: ".pb.gz" */
	/* 1 at first; n > 1 makes PID-n.  All files of one process share it: see output_write(). */
	uint32_t instance;
};

/*
 * Writes a file.  If the name is taken, tries the next instance, and stores the one
 * used in name->instance and the file name in out_file.  Returns 0 or -errno; on
 * failure no file is left.
 */
int output_write(int dir_fd, struct output_name *name, const void *bytes, size_t size,
		 char out_file[OUTPUT_NAME_MAX]);

/*
 * The same for bytes that are made while they are written: `fill` gets them into the file by
 * output_add(), and may be asked to do so twice, into two files.  0 or -errno, as it returns.
 */
typedef int output_fill(void *context, int fd);
int output_write_by(int dir_fd, struct output_name *name, output_fill *fill, void *context,
		    char out_file[OUTPUT_NAME_MAX]);
int output_add(int fd, const void *bytes, size_t size);

/* What a file is called.  0, or -ENAMETOOLONG. */
int output_format_name(const struct output_name *name, char out_file[OUTPUT_NAME_MAX]);

/* Whether there is such a file. */
bool output_exists(int dir_fd, const struct output_name *name);

/* Replaces a file that output_write() made earlier in this run, atomically. */
int output_replace(int dir_fd, const char *file, const void *bytes, size_t size);
int output_replace_by(int dir_fd, const char *file, output_fill *fill, void *context);

#endif
