/* SPDX-License-Identifier: MIT */
/*
 * Names of addresses from the symbol tables of one image: .symtab of the file or of
 * its debug file, else .dynsym and .gnu_debugdata, and the entries of the PLT.
 *
 * Context: collector.
 */
#ifndef COLLECTOR_IMAGE_SYMTAB_H
#define COLLECTOR_IMAGE_SYMTAB_H

#include <elfutils/libdwfl.h>
#include <stdint.h>

#include "arena.h"
#include "range_map.h"

/* A zeroed one is empty and valid. */
struct image_symtab {
	struct range_map ranges;
	const char **names; /* borrowed from the ELF data, or in `arena` */
	size_t count;
	size_t capacity;
	struct arena arena;
};

/* Reads all that the module has.  What cannot be read is left out. */
void image_symtab_load(struct image_symtab *symtab, Dwfl_Module *module);

/* The symbol that covers an address, or NULL.  Lives as long as the module. */
const char *image_symtab_find(const struct image_symtab *symtab, uint64_t address);

/* Where that symbol starts; false: there is none. */
bool image_symtab_find_start(const struct image_symtab *symtab, uint64_t address, uint64_t *out_start);

void image_symtab_fini(struct image_symtab *symtab);

/*
 * How sure we are where a symbol ends: by its own word, by the machine code of a
 * PLT entry, or just by where the next one starts.
 */
enum image_symtab_rank { IMAGE_SYMTAB_UNSIZED, IMAGE_SYMTAB_PLT, IMAGE_SYMTAB_SIZED };

/* Adds a name for [start, end). */
void image_symtab_add(struct image_symtab *symtab, const char *name, uint64_t start, uint64_t end,
		      enum image_symtab_rank rank);

/* Adds "NAME@plt" for each entry of the PLT that can be decoded (image_plt.c). */
void image_plt_load(struct image_symtab *symtab, Elf *elf);

#endif
