/* SPDX-License-Identifier: MIT */
/*
 * Function and file names of one image: demangled, tidied and remembered, so that
 * each is made once.  They outlive the ELF and DWARF data that they come from.
 *
 * Context: collector.
 */
#ifndef COLLECTOR_IMAGE_NAMES_H
#define COLLECTOR_IMAGE_NAMES_H

#include <elfutils/libdw.h>
#include <stdint.h>

#include "arena.h"
#include "u64_map.h"

struct function_name {
	const char *name;        /* as people write it */
	const char *system_name; /* linkage name */
	const char *file;        /* where it is declared, or NULL */
	uint32_t line;           /* of the declaration, or 0 */
};

/* A zeroed one is empty and valid. */
struct image_names {
	struct arena arena;
	/* Address of a DIE, of a symbol's name or of a path -> index of what became of it. */
	struct u64_map by_source;
	const struct function_name **items;
	uint32_t count;
	uint32_t capacity;
};

void image_names_fini(struct image_names *names);

/*
 * Each of these returns NULL if there is no name, or no memory for it.  The source
 * is known again by its address, which must stay what it is; the results live as
 * long as `names`.
 */

/* Of a subprogram or of an inlined subroutine. */
const struct function_name *image_names_of_die(struct image_names *names, Dwarf_Die *die);

const struct function_name *image_names_of_symbol(struct image_names *names, const char *symbol);

/*
 * A path from the file table of a unit: absolute, if the unit's directory is, and
 * without "/./" and "//".
 */
const char *image_names_of_path(struct image_names *names, Dwarf_Die *unit, const char *path);

#endif
