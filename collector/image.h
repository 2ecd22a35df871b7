/* SPDX-License-Identifier: MIT */
/*
 * ELF objects that the profiled processes have loaded, opened once and shared by all
 * processes of the tree (by build id, else by device and inode).  Opening keeps the file
 * readable even if it is deleted or replaced afterwards; symbols are read at the first
 * question.  A file that is gone before it was opened is looked for where it is mapped.  One
 * that nobody runs any more is let go some time later: it may be on a file system that somebody
 * wants to unmount, or one of thousands.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_IMAGE_H
#define COLLECTOR_IMAGE_H

#include "profile.h"

/* What is known of an object before it is opened. */
struct image_source {
	const char *path;       /* as the process sees it */
	int root_fd;            /* O_PATH descriptor of the process's root, or -1: open by path */
	uint32_t pid;           /* of a process that runs it, 0: not known; what it leads to is verified */
	uint64_t device, inode; /* 0, 0: not known */
	const uint8_t *build_id;
	uint32_t build_id_bytes;
	uint32_t flags; /* CPROF_MODULE_IS_* */
	/* Where `pid` has it in memory, should there be no file any more; 0: not known. */
	uint64_t bias, start;
	uint64_t text_start, text_end;
};

/*
 * Finds or opens the image; never fails hard: returns NULL when there is no file
 * that is certainly the one which was loaded (same build id; without a build id,
 * same device and inode).  The cache owns the image.
 */
struct image *image_open(const struct image_source *source);

/* While it is held it stays open; both take NULL. */
void image_hold(struct image *image);
void image_release(struct image *image);

/*
 * Closes what nobody has held for a while.  Not while an image is in use that was opened, but is
 * not held yet.
 */
void image_close_idle(int64_t now_ms);

/*
 * From now on what images with DWARF have answered is kept in this directory for later
 * runs, see answer_store.h.  The descriptor is the cache's; -1: nothing is kept.
 */
void image_keep_answers(int dir_fd);

/* Releases all images; what is to be kept is written first. */
void image_close_all(void);

/* More inlined functions than this at one address are cut; the real one is kept. */
#define IMAGE_LINES_MAX 64

/* One source line of an address: the innermost inlined function first, the real one last. */
struct image_line {
	const char *name;        /* demangled, as people write it */
	const char *system_name; /* linkage name */
	const char *file;        /* absolute where DWARF allows, or NULL */
	uint32_t line;           /* 0: not known */
	uint32_t column;
	uint32_t start_line; /* of the function; 0: not known */
};

/*
 * Symbolises an address as the ELF file counts it.  Returns the number of lines, at
 * most lines_max, 0 if nothing covers the address.  Strings belong to the image and
 * live as long as it does.  Results are cached by address.
 */
size_t image_symbolise(struct image *image, uint64_t address, struct image_line *lines, size_t lines_max);

/* Where the symbol begins that an address is in; the address itself if there is none. */
uint64_t image_symbol_start(struct image *image, uint64_t address);

/* Whether the image has line numbers at all (DWARF), as against symbols only. */
bool image_has_lines(struct image *image);

#endif
