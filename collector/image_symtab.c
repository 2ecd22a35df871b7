/* SPDX-License-Identifier: MIT */
/*
 * A symbol names the bytes that it claims and no more: code between symbols (the
 * local functions of a stripped library) must not be counted for its neighbour.
 * Symbols without a size, which assembly makes, reach to the next symbol of their
 * section.
 *
 * Of several symbols at one address the one that people know is taken: `write`, not
 * `__write`; `malloc`, not `__libc_malloc`.
 *
 * Context: collector; see image_symtab.h.
 */
#include "image_symtab.h"

#include <gelf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 256

struct candidate {
	const char *name;
	uint64_t start;
	uint64_t size;
	uint64_t section_end; /* 0: not known */
	uint32_t order;       /* in the symbol table */
	uint8_t binding;
	uint8_t type;
	uint8_t oddity; /* how unlikely it is that people wrote it so */
};

void image_symtab_add(struct image_symtab *symtab, const char *name, uint64_t start, uint64_t end,
		      enum image_symtab_rank rank)
{
	if (symtab->count == symtab->capacity) {
		size_t capacity = symtab->capacity ? 2 * symtab->capacity : FIRST_CAPACITY;
		const char **names = reallocarray(symtab->names, capacity, sizeof(*names));
		if (!names)
			return;
		symtab->names = names;
		symtab->capacity = capacity;
	}
	struct range range = {start, end, rank, (uint32_t)symtab->count};
	symtab->names[symtab->count++] = name;
	range_map_add(&symtab->ranges, range);
}

/* Whether the symbol is in code, and where its section ends. */
static bool is_code(Elf *elf, GElf_Word section_index, uint8_t type, uint64_t *out_section_end)
{
	GElf_Shdr section;
	Elf_Scn *scn = elf_getscn(elf, section_index);
	if (!scn || !gelf_getshdr(scn, &section)) {
		/* Section headers were stripped: only what calls itself a function is believed. */
		*out_section_end = 0;
		return type != STT_NOTYPE;
	}
	*out_section_end = section.sh_addr + section.sh_size;
	return section.sh_flags & SHF_EXECINSTR;
}

/* Labels that compilers and assemblers make for themselves. */
static bool is_private_label(const char *name, uint8_t binding, uint8_t type)
{
	if (type != STT_NOTYPE || binding != STB_LOCAL)
		return false;
	return name[0] == '$' || (name[0] == '.' && name[1] == 'L');
}

/* Leading underscores (but for those of mangling), and names that linkers make up. */
static uint8_t name_oddity(const char *name)
{
	uint8_t oddity = strchr(name, '.') != NULL;
	bool is_mangled = name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');
	for (; *name == '_' && !is_mangled && oddity < 8; name++)
		oddity++;
	return oddity;
}

static bool read_candidate(Dwfl_Module *module, int index, struct candidate *out_candidate)
{
	GElf_Sym symbol;
	GElf_Addr address;
	GElf_Word section_index;
	Elf *elf;
	const char *name = dwfl_module_getsym_info(module, index, &symbol, &address, &section_index, &elf,
						   NULL);
	if (!name || !*name || section_index == SHN_UNDEF || section_index == SHN_ABS)
		return false;
	struct candidate c = {
		.name = name, .start = address, .size = symbol.st_size, .order = (uint32_t)index};
	c.type = GELF_ST_TYPE(symbol.st_info);
	c.binding = GELF_ST_BIND(symbol.st_info);
	if (c.type != STT_FUNC && c.type != STT_GNU_IFUNC && c.type != STT_NOTYPE)
		return false;
	if (is_private_label(name, c.binding, c.type) || !elf ||
	    !is_code(elf, section_index, c.type, &c.section_end))
		return false;
	c.oddity = name_oddity(name);
	*out_candidate = c;
	return true;
}

/* By address; at one address the worst first, because the one added last wins. */
static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if ((x->type == STT_NOTYPE) != (y->type == STT_NOTYPE))
		return x->type == STT_NOTYPE ? -1 : 1;
	if ((x->binding == STB_LOCAL) != (y->binding == STB_LOCAL))
		return x->binding == STB_LOCAL ? -1 : 1;
	if (x->oddity != y->oddity)
		return x->oddity > y->oddity ? -1 : 1;
	if ((x->binding == STB_WEAK) != (y->binding == STB_WEAK))
		return x->binding == STB_WEAK ? -1 : 1;
	size_t m = strlen(x->name), n = strlen(y->name);
	if (m != n)
		return m > n ? -1 : 1;
	return x->order > y->order ? -1 : 1;
}

void image_symtab_load(struct image_symtab *symtab, Dwfl_Module *module)
{
	GElf_Addr bias;
	Elf *elf = dwfl_module_getelf(module, &bias);
	if (elf)
		image_plt_load(symtab, elf);
	int total = dwfl_module_getsymtab(module);
	struct candidate *candidates = total > 0 ? calloc((size_t)total, sizeof(*candidates)) : NULL;
	size_t count = 0;
	for (int i = 1; candidates && i < total; i++)
		count += read_candidate(module, i, &candidates[count]);
	if (count)
		qsort(candidates, count, sizeof(*candidates), compare_candidates);
	for (size_t i = 0, next = 0; i < count; i++) {
		const struct candidate *c = &candidates[i];
		while (next < count && candidates[next].start <= c->start)
			next++;
		if (c->size && c->size <= UINT64_MAX - c->start) {
			image_symtab_add(symtab, c->name, c->start, c->start + c->size, IMAGE_SYMTAB_SIZED);
			continue;
		}
		uint64_t end = c->section_end;
		if (next < count && candidates[next].start < end)
			end = candidates[next].start;
		image_symtab_add(symtab, c->name, c->start, end, IMAGE_SYMTAB_UNSIZED);
	}
	free(candidates);
	range_map_seal(&symtab->ranges);
}

const char *image_symtab_find(const struct image_symtab *symtab, uint64_t address)
{
	uint32_t index;
	return range_map_find(&symtab->ranges, address, &index) ? symtab->names[index] : NULL;
}

bool image_symtab_find_start(const struct image_symtab *symtab, uint64_t address, uint64_t *out_start)
{
	struct range range;
	if (!range_map_find_range(&symtab->ranges, address, &range))
		return false;
	*out_start = range.start;
	return true;
}

void image_symtab_fini(struct image_symtab *symtab)
{
	range_map_fini(&symtab->ranges);
	free(symtab->names);
	arena_fini(&symtab->arena);
	*symtab = (struct image_symtab){0};
}
