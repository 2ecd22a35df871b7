/* SPDX-License-Identifier: MIT */
/*
 * Which profile files a process image gets, and when: final ones (rewritten if the
 * process went on afterwards) and numbered heap snapshots.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_WRITER_H
#define COLLECTOR_WRITER_H

#include "aggregate.h"
#include "comments.h"
#include "module_rows.h"
#include "output.h"

/* The directory of a process tree's files. */
struct writer_dir {
	int fd; /* -1: not usable, said so once */
	int last_error;
	char path[CPROF_PATH_BYTES];
};

/*
 * Opens (makes) the directory and checks that files can be made there.  Says in one
 * line what is wrong if not: 0 or -errno.
 */
int writer_dir_open(struct writer_dir *dir, const char *path);

/* The files of one process image.  Fields are the writer's own. */
struct writer {
	const struct segment_reader *reader;
	struct module_rows *rows;
	struct writer_dir *dir;
	bool is_first; /* profiles without samples are written too */
	uint32_t pid;
	char name[CPROF_NAME_BYTES];
	char files[PROFILE_KIND_COUNT][OUTPUT_NAME_MAX]; /* final files, "": not written */
	uint64_t fingerprint[PROFILE_KIND_COUNT];        /* of what is in them */
};

/*
 * Everything is borrowed.  Continues an image whose former collector died: its
 * instance and files come from the control block.
 */
void writer_init(struct writer *writer, const struct segment_reader *reader, struct module_rows *rows,
		 struct writer_dir *dir, bool is_first);

/* What the caller knows about the moment of writing. */
struct writer_moment {
	enum ring_owner owner;
	int root_fd; /* for image_open() */
	struct comments_clock cpu_clock;
	uint64_t end_monotonic_ns; /* 0: not known */
	void (*tick)(void *);      /* see pprof_encode() */
	void *tick_arg;
};

/*
 * Drains and writes the final files that are due, or rewrites those whose content
 * changed.  Returns 0 if every file that is due is there; else -errno (said so).
 */
int writer_write_final(struct writer *writer, const struct writer_moment *moment);

/* Drains and writes a heap snapshot with the next number.  0 or -errno (said so). */
int writer_write_snapshot(struct writer *writer, const struct writer_moment *moment);

#endif
