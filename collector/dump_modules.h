/* SPDX-License-Identifier: MIT */
/*
 * The modules of a thread dump: what the process has loaded now, whether or not a
 * sample has led there, as the rows that the encoder and the symboliser understand.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_DUMP_MODULES_H
#define COLLECTOR_DUMP_MODULES_H

#include "arena.h"
#include "image.h"
#include "module_rows.h"
#include "profile.h"
#include "remote_objects.h"

struct dump_modules {
	struct profile_module *items; /* in the arena; sorted by id */
	size_t count;
	const struct remote_objects *objects; /* borrowed; in their order.  NULL: these are the rows */
};

/*
 * Makes a module of each object and opens its image.  `rows`, which may be NULL, tell
 * which one is libcprof.so itself; where no object may be looked at, they are the
 * modules.  0 or -ENOMEM.
 */
int dump_modules_build(struct arena *arena, const struct remote_objects *objects,
		       const struct module_rows *rows, int root_fd, struct dump_modules *out_modules);

/* The frame word of an address. */
uint64_t dump_modules_frame(const struct dump_modules *modules, uint64_t address, bool is_exact);

/* The module that a frame word refers to; NULL: none. */
const struct profile_module *dump_modules_of_frame(const struct profile_module *modules, size_t count,
						   uint64_t frame);

/* The lines of a frame word, innermost first; 0 if nothing is known. */
size_t dump_modules_lines(const struct profile_module *modules, size_t count, uint64_t frame,
			  struct image_line lines[IMAGE_LINES_MAX]);

#endif
