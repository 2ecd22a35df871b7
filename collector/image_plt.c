/* SPDX-License-Identifier: MIT */
/*
 * The entries of the PLT have no symbols.  Each jumps through a slot of the GOT that
 * the linker described with a relocation, which has the name: so the jump is
 * decoded, which works for every layout that linkers make (.plt, .plt.sec, .plt.got,
 * -z now).  Machines other than x86-64 are left alone: their entries stay unnamed.
 *
 * Context: collector; see image_symtab.h.
 */
#include <gelf.h>
#include <stdio.h>
#include <string.h>

#include "image_symtab.h"
#include "u64_map.h"

#define ENTRY_BYTES_MAX 16
#define NAME_MAX_BYTES 4096

/* Where the relocations' slots are: address -> index into the dynamic symbols. */
static void read_slots(Elf *elf, struct u64_map *slots, size_t *out_symbols_section)
{
	Elf_Scn *scn = NULL;
	while ((scn = elf_nextscn(elf, scn)) != NULL) {
		GElf_Shdr section, symbols;
		if (!gelf_getshdr(scn, &section) || section.sh_type != SHT_RELA || !section.sh_entsize)
			continue;
		if (!gelf_getshdr(elf_getscn(elf, section.sh_link), &symbols) ||
		    symbols.sh_type != SHT_DYNSYM)
			continue;
		Elf_Data *data = elf_getdata(scn, NULL);
		size_t count = data ? data->d_size / section.sh_entsize : 0;
		for (size_t i = 0; i < count && i < INT32_MAX; i++) {
			GElf_Rela rela;
			if (!gelf_getrela(data, (int)i, &rela))
				break;
			uint64_t type = GELF_R_TYPE(rela.r_info);
			if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT)
				continue;
			if (u64_map_put(slots, rela.r_offset, (uint32_t)GELF_R_SYM(rela.r_info)) < 0)
				return;
			*out_symbols_section = section.sh_link;
		}
	}
}

static const char *symbol_name(Elf *elf, size_t symbols_section, uint32_t index)
{
	GElf_Shdr section;
	GElf_Sym symbol;
	Elf_Scn *scn = elf_getscn(elf, symbols_section);
	Elf_Data *data = elf_getdata(scn, NULL);
	if (!data || !gelf_getshdr(scn, &section) || index > INT32_MAX ||
	    !gelf_getsym(data, (int)index, &symbol))
		return NULL;
	return elf_strptr(elf, section.sh_link, symbol.st_name);
}

/* The slot that an entry at `address` jumps through: [endbr64] [bnd] jmp *disp32(%rip). */
static bool decode_entry(const uint8_t *code, size_t size, uint64_t address, uint64_t *out_slot)
{
	for (size_t i = 0; i + 6 <= size; i++) {
		if (code[i] != 0xff || code[i + 1] != 0x25)
			continue;
		int32_t displacement;
		memcpy(&displacement, code + i + 2, sizeof(displacement));
		*out_slot = address + i + 6 + (uint64_t)(int64_t)displacement;
		return true;
	}
	return false;
}

static void name_entries(struct image_symtab *symtab, Elf *elf, Elf_Scn *scn, const GElf_Shdr *section,
			 const struct u64_map *slots, size_t symbols_section)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	/* Some linkers say nothing, or say 16 where .plt.got has entries of 8. */
	size_t entry = section->sh_entsize == 8 ? 8 : ENTRY_BYTES_MAX;
	for (size_t at = 0; data && data->d_buf && at + entry <= data->d_size; at += entry) {
		uint64_t slot, address = section->sh_addr + at;
		uint32_t symbol;
		if (!decode_entry((const uint8_t *)data->d_buf + at, entry, address, &slot) ||
		    !u64_map_find(slots, slot, &symbol))
			continue;
		const char *name = symbol_name(elf, symbols_section, symbol);
		char text[NAME_MAX_BYTES];
		if (!name || !*name)
			continue;
		int length = snprintf(text, sizeof(text), "%s@plt", name);
		const char *copy = length < (int)sizeof(text)
					   ? arena_copy(&symtab->arena, text, (size_t)length)
					   : NULL;
		if (copy)
			image_symtab_add(symtab, copy, address, address + entry, IMAGE_SYMTAB_PLT);
	}
}

void image_plt_load(struct image_symtab *symtab, Elf *elf)
{
	GElf_Ehdr header;
	size_t names_section, symbols_section = 0;
	if (!gelf_getehdr(elf, &header) || header.e_machine != EM_X86_64 ||
	    elf_getshdrstrndx(elf, &names_section) != 0)
		return;
	struct u64_map slots = {0};
	read_slots(elf, &slots, &symbols_section);
	Elf_Scn *scn = NULL;
	while (symbols_section && (scn = elf_nextscn(elf, scn)) != NULL) {
		GElf_Shdr section;
		if (!gelf_getshdr(scn, &section) || section.sh_type != SHT_PROGBITS ||
		    !(section.sh_flags & SHF_EXECINSTR))
			continue;
		const char *name = elf_strptr(elf, names_section, section.sh_name);
		if (name && (!strcmp(name, ".plt") || !strncmp(name, ".plt.", 5)))
			name_entries(symtab, elf, scn, &section, &slots, symbols_section);
	}
	u64_map_fini(&slots);
}
