/* SPDX-License-Identifier: MIT */
/*
 * Functions, inlined functions and lines of addresses from the DWARF of one image.
 * Indexed as far as it is asked for: the units at the first question, the functions
 * of a unit and the inlined ones of a function at the first address in them.
 *
 * Context: collector.
 */
#ifndef COLLECTOR_IMAGE_DWARF_H
#define COLLECTOR_IMAGE_DWARF_H

#include <elfutils/libdw.h>

#include "image.h"
#include "image_names.h"

struct image_dwarf;

/*
 * Indexes the units.  `dwarf` is borrowed and must live as long; `names` gets the
 * names.  NULL if there is nothing in it, or no memory.
 */
struct image_dwarf *image_dwarf_open(Dwarf *dwarf, Elf *elf, struct image_names *names);

void image_dwarf_close(struct image_dwarf *dwarf);

/*
 * Lines of an address, innermost first, at most lines_max (at least 1).  If the code
 * has a line but no function (assembly), one entry with name NULL.  0: not covered.
 */
size_t image_dwarf_find(struct image_dwarf *dwarf, uint64_t address, struct image_line *lines,
			size_t lines_max);

/*
 * The DIEs of the code around an address, innermost first: inlined functions, then the
 * function itself; at most scopes_max, the outermost ones then missing.  *out_unit has
 * the line table.  0: not covered, or (with out_unit->addr set) only by lines.
 */
size_t image_dwarf_scopes(struct image_dwarf *dwarf, uint64_t address, Dwarf_Die *scopes, size_t scopes_max,
			  Dwarf_Die *out_unit);

/* An attribute of a DIE that is a small number (DW_AT_call_line); 0 if it has none. */
uint32_t image_dwarf_number(Dwarf_Die *die, unsigned attribute);

#endif
