/* SPDX-License-Identifier: MIT */
/*
 * What the addresses of an image were found to mean, kept on disk from one run to the
 * next: a file for each build id, in $XDG_CACHE_HOME/cprof.  Reading DWARF again is
 * spared where all that is asked is there.
 *
 * A file is replaced as a whole and by one rename, so readers and other writers never
 * meet half of one; of two that write at once one stays.  Whatever is not exactly what
 * this version writes is taken for no file: a checksum finds what was damaged, and each
 * index is looked at all the same.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_ANSWER_STORE_H
#define COLLECTOR_ANSWER_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "image.h"

/* One file holds at most so many answers, the newest ones, and is no larger. */
#define ANSWER_STORE_ANSWERS_MAX 65536u
#define ANSWER_STORE_FILE_BYTES_MAX ((size_t)16 << 20)
/* All of them together: those used longest ago go. */
#define ANSWER_STORE_BYTES_MAX ((uint64_t)128 << 20)

/* What an address means: lines [first, first + count). */
struct answer {
	uint64_t address;
	uint32_t first;
	uint32_t count;
};

/* The answers of an image; the strings of the lines are in `memory`. */
struct answers {
	struct answer *answers;
	struct image_line *lines;
	uint32_t answer_count;
	uint32_t line_count;
	void *memory;
};

/*
 * Opens (and makes, if missing) the directory that the environment asks for.  A descriptor, or
 * -errno: there is none, or it is not this user's alone.
 */
int answer_store_open(const char *xdg_cache_home, const char *home);

/* Reads what is kept of a build id.  0, and free() the three pointers afterwards; else -errno. */
int answer_store_read(int dir_fd, const uint8_t *build_id, uint32_t build_id_bytes,
		      struct answers *out_answers);

/* Keeps the answers in place of what was kept of that build id; makes room.  0 or -errno. */
int answer_store_write(int dir_fd, const uint8_t *build_id, uint32_t build_id_bytes,
		       const struct answers *answers);

/* Deletes the files that were used longest ago, until the others are no more than so many bytes. */
void answer_store_trim(int dir_fd, uint64_t bytes_max);

#endif
