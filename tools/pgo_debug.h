/* SPDX-License-Identifier: MIT */
/*
 * What the debug information says of an address in a compiler's own terms: the function,
 * all that is inlined there, and the place within each.
 *
 * Context: command line.
 */
#ifndef TOOLS_PGO_DEBUG_H
#define TOOLS_PGO_DEBUG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image_dwarf.h"
#include "pgo_binary.h"
#include "pgo_tree.h"

#define PGO_FRAMES_MAX 64

struct pgo_frame {
	const char *name; /* linkage name, lives as long as the binary */
	struct pgo_place place;
	uint32_t line;                      /* as in the file; 0: not known */
	const struct function_name *origin; /* where it is declared, or NULL */
};

struct pgo_location {
	struct pgo_frame frames[PGO_FRAMES_MAX]; /* innermost first */
	size_t frame_count;
	uint32_t copies; /* how often the innermost place is there, by unrolling or vectorising */
	bool is_clang;   /* each call of a line has a discriminator of its own */
};

struct pgo_debug {
	const struct pgo_binary *binary; /* borrowed */
	struct image_dwarf *dwarf;
	struct image_names names;
};

/* 0 or -errno. */
int pgo_debug_open(struct pgo_debug *debug, const struct pgo_binary *binary);

void pgo_debug_close(struct pgo_debug *debug);

/* The function whose code is at an address; false if debug information does not cover it. */
bool pgo_debug_function(struct pgo_debug *debug, uint64_t address, Dwarf_Die *out_function);

/* The linkage name of a function, NULL if it has no name at all. */
const char *pgo_debug_name(struct pgo_debug *debug, Dwarf_Die *function);

/* False if debug information does not cover the address; its first frame may have line 0. */
bool pgo_debug_locate(struct pgo_debug *debug, uint64_t address, struct pgo_location *out_location);

/*
 * What clang packs into a discriminator: the block's number, and how many copies of the
 * code this one stands for.
 */
uint32_t pgo_discriminator_base(uint32_t packed);
uint32_t pgo_discriminator_copies(uint32_t packed);

#endif
