/* SPDX-License-Identifier: MIT */
/*
 * The image of a loaded object: its program headers, read where they were mapped, and
 * what follows from them.
 *
 * Context: any (async-signal-safe) unless noted.
 */
#ifndef PRELOAD_IMAGE_H
#define PRELOAD_IMAGE_H

#include <link.h>

#include "objects.h"

struct image {
	uint64_t start; /* of all its segments in memory: [start, end), with any holes between them */
	uint64_t end;
	uint64_t bias;             /* run-time address = address in the file + bias */
	const ElfW(Phdr) *headers; /* NULL if they cannot be found */
	uint32_t header_count;
	uint32_t flags;   /* CPROF_MODULE_IS_* */
	const char *name; /* the loader's; only while the object is loaded */
};

void image_open(const struct object *object, struct image *out_image);

/* The file-backed bytes of the segment that contains `address`; false if there is none. */
bool image_find_segment(const struct image *image, uint64_t address, uint64_t *out_low, uint64_t *out_high);

/* Whether the object stays as long as the process: the executable, the loader, libc, cprof, the vdso. */
bool image_is_pinned(const struct image *image);

/* Context: init.  After objects_refresh(). */
void image_init(void);

#endif
