/* SPDX-License-Identifier: MIT */
/*
 * The line of the innermost frame is the line table's; that of each outer frame is the
 * call line of the inlined function in it.  Lines count from the function's own line,
 * so that a profile survives what is inserted above.
 *
 * Context: command line; see pgo_debug.h.
 */
#include "pgo_debug.h"

#include <dwarf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LINE_BITS UINT32_C(0xffff)

/* Debian's dwarf.h does not have it. */
#ifndef DW_AT_GNU_discriminator
#define DW_AT_GNU_discriminator 0x2136
#endif

int pgo_debug_open(struct pgo_debug *debug, const struct pgo_binary *binary)
{
	*debug = (struct pgo_debug){.binary = binary};
	debug->dwarf = image_dwarf_open(binary->dwarf, binary->elf, &debug->names);
	if (debug->dwarf)
		return 0;
	fprintf(stderr, "cprof pgo: the debug information of %s covers no code\n", binary->path);
	return -ENODATA;
}

void pgo_debug_close(struct pgo_debug *debug)
{
	image_dwarf_close(debug->dwarf);
	image_names_fini(&debug->names);
}

/* ---- discriminators -------------------------------------------------------------------------- */

/*
 * LLVM's prefix code (llvm/Support/Discriminator.h): components lie one behind the other
 * from the lowest bit.  A component is a single 1 for zero; or a 0, five bits, a bit
 * that says whether there are more, and if so seven more bits.
 */
static uint32_t component(uint32_t packed)
{
	if (packed & 1)
		return 0;
	packed >>= 1;
	return packed & 0x20 ? (packed >> 1 & 0xfe0) | (packed & 0x1f) : packed & 0x1f;
}

static uint32_t next_component(uint32_t packed)
{
	return packed & 1 ? packed >> 1 : packed >> (packed & 0x40 ? 14 : 7);
}

uint32_t pgo_discriminator_base(uint32_t packed)
{
	return component(packed);
}

uint32_t pgo_discriminator_copies(uint32_t packed)
{
	uint32_t copies = component(next_component(packed));
	return copies ? copies : 1;
}

/* ---- DIEs ------------------------------------------------------------------------------------ */

static const char *linkage_name(Dwarf_Die *die)
{
	Dwarf_Attribute attribute;
	const char *name = dwarf_formstring(dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute));
	return name ? name : dwarf_formstring(dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute));
}

/*
 * gcc gives no linkage name to what is local to a file, though the symbol has one.
 * Suffixes of copies and parts (.cold, .isra.0) are no part of the name.
 */
static const char *symbol_name(struct pgo_debug *debug, Dwarf_Die *function)
{
	Dwarf_Addr entry;
	if (dwarf_entrypc(function, &entry) != 0)
		return NULL;
	GElf_Off offset = 0;
	GElf_Sym symbol;
	const char *name = dwfl_module_addrinfo(dwfl_addrmodule(debug->binary->dwfl, entry), entry, &offset,
						&symbol, NULL, NULL, NULL);
	if (!name || offset != 0 || name[0] != '_' || name[1] != 'Z')
		return NULL;
	return strchr(name, '.') ? arena_copy(&debug->names.arena, name, strcspn(name, ".")) : name;
}

const char *pgo_debug_name(struct pgo_debug *debug, Dwarf_Die *function)
{
	const char *name = linkage_name(function);
	if (!name)
		name = symbol_name(debug, function);
	return name ? name : dwarf_diename(function);
}

/*
 * Only clang packs discriminators; gcc's are the numbers themselves.  The function's own
 * unit says it: if the debug information is split, the one with the lines does not.
 */
static bool is_packed(Dwarf_Die *function)
{
	Dwarf_Die unit;
	Dwarf_Attribute attribute;
	if (!dwarf_diecu(function, &unit, NULL, NULL))
		return false;
	const char *producer = dwarf_formstring(dwarf_attr_integrate(&unit, DW_AT_producer, &attribute));
	return producer && strstr(producer, "clang");
}

static uint32_t line_offset(Dwarf_Die *function, uint32_t line)
{
	int first = 0;
	if (dwarf_decl_line(function, &first) != 0)
		first = 0;
	return (line - (uint32_t)first) & LINE_BITS;
}

bool pgo_debug_function(struct pgo_debug *debug, uint64_t address, Dwarf_Die *out_function)
{
	Dwarf_Die scopes[PGO_FRAMES_MAX], unit;
	size_t count = image_dwarf_scopes(debug->dwarf, address, scopes, PGO_FRAMES_MAX, &unit);
	if (count == 0 || dwarf_tag(&scopes[count - 1]) != DW_TAG_subprogram)
		return false;
	*out_function = scopes[count - 1];
	return true;
}

bool pgo_debug_locate(struct pgo_debug *debug, uint64_t address, struct pgo_location *out)
{
	Dwarf_Die scopes[PGO_FRAMES_MAX], unit;
	size_t count = image_dwarf_scopes(debug->dwarf, address, scopes, PGO_FRAMES_MAX, &unit);
	if (count == 0 || dwarf_tag(&scopes[count - 1]) != DW_TAG_subprogram)
		return false;
	Dwarf_Line *row = dwarf_getsrc_die(&unit, address);
	int number = 0;
	unsigned discriminator = 0;
	dwarf_lineno(row, &number);
	dwarf_linediscriminator(row, &discriminator);
	bool is_clang = is_packed(&scopes[count - 1]);
	uint32_t line = number > 0 ? (uint32_t)number : 0;
	out->copies = is_clang ? pgo_discriminator_copies(discriminator) : 1;
	out->is_clang = is_clang;
	out->frame_count = 0;
	for (size_t i = 0; i < count; i++) {
		bool is_inlined = i + 1 < count;
		const char *name = is_inlined ? linkage_name(&scopes[i]) : pgo_debug_name(debug, &scopes[i]);
		if (!name)
			name = dwarf_diename(&scopes[i]);
		if (!name)
			return false;
		out->frames[out->frame_count++] = (struct pgo_frame){
			.name = name,
			.place = {line_offset(&scopes[i], line),
				  is_clang ? pgo_discriminator_base(discriminator) : discriminator},
			.line = line,
			.origin = image_names_of_die(&debug->names, &scopes[i]),
		};
		line = image_dwarf_number(&scopes[i], DW_AT_call_line);
		discriminator = image_dwarf_number(&scopes[i], DW_AT_GNU_discriminator);
	}
	return true;
}
