/* SPDX-License-Identifier: MIT */
/*
 * The profile files of a process image: which kinds there are, what is in them, and
 * the final files, which are rewritten if the process goes on afterwards.  Numbered
 * ones: snapshot.h.
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
	int64_t start_realtime_ns;   /* of the image; not later than now, whatever the segment says */
	uint64_t start_monotonic_ns; /* likewise */
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

/* ---- the parts, for who makes other files or none ------------------------------------------ */

/*
 * Takes the aggregate, to be freed by the caller, and brings the module rows up to
 * date.  0 or -errno (said so).
 */
int writer_take(struct writer *writer, const struct writer_moment *moment, struct aggregate *out_aggregate);

/* Whether there is a profile of this kind: it is or was on, or has samples.  Not of threads. */
bool writer_has_kind(const struct writer *writer, const struct aggregate *aggregate, enum profile_kind kind);

/* A profile before it is encoded: what it borrows from the aggregate and the writer, and what it owns. */
struct writer_profile {
	struct profile profile;
	struct comments comments;
	struct perf_map *jit;
};

/* Describes one kind of an aggregate; to be given to writer_profile_fini(), and not to be copied before. */
void writer_describe(const struct writer *writer, const struct aggregate *aggregate, enum profile_kind kind,
		     const struct writer_moment *moment, struct writer_profile *out_profile);
void writer_profile_fini(struct writer_profile *profile);

/*
 * Encodes one kind of an aggregate.  0 or -errno; on success the caller frees
 * *out_bytes.
 */
int writer_encode(const struct writer *writer, const struct aggregate *aggregate, enum profile_kind kind,
		  const struct writer_moment *moment, unsigned char **out_bytes, size_t *out_size);

/* The same for a picture of the threads, which is ready but for its kind, period and run. */
int writer_encode_threads(const struct profile *threads, const struct writer_moment *moment,
			  unsigned char **out_bytes, size_t *out_size);

/* The name of a file; all of an image share the instance once one is written. */
struct output_name writer_name(const struct writer *writer, enum profile_kind kind, uint32_t number);
void writer_keep_instance(const struct writer *writer, const struct output_name *name);

/* Says that the profile `what` cannot be written; one line for each kind of failure in the tree. */
void writer_report(struct writer *writer, const char *what, int error);
/* The same of the trace. */
void writer_report_trace(struct writer *writer, int error);

#endif
