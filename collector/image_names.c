/* SPDX-License-Identifier: MIT */
/*
 * DWARF gives C++ and Rust functions a linkage name, which says more than the plain
 * name and is demangled.  A C++ function without one (static ones, some clones) gets
 * its namespaces and classes from the DIEs around it; DWARF has no pointer to them,
 * so they are looked for from the unit's top.
 *
 * Context: collector; see image_names.h.
 */
#include "image_names.h"

#include <dwarf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "demangle.h"

#define FIRST_CAPACITY 256
#define PLT_SUFFIX "@plt"
#define REFERENCES_MAX 8
#define SCOPES_MAX 32
#define SCOPE_STEPS_MAX 1000000

void image_names_fini(struct image_names *names)
{
	arena_fini(&names->arena);
	u64_map_fini(&names->by_source);
	free(names->items);
	*names = (struct image_names){0};
}

static bool find(const struct image_names *names, const void *source, const struct function_name **out_item)
{
	uint32_t index;
	if (!u64_map_find(&names->by_source, (uintptr_t)source, &index))
		return false;
	*out_item = names->items[index];
	return true;
}

/* What cannot be remembered is made again the next time. */
static void remember(struct image_names *names, const void *source, const struct function_name *item)
{
	if (names->count == names->capacity) {
		uint32_t capacity = names->capacity ? 2 * names->capacity : FIRST_CAPACITY;
		const struct function_name **items = reallocarray(names->items, capacity, sizeof(void *));
		if (!items)
			return;
		names->items = items;
		names->capacity = capacity;
	}
	names->items[names->count] = item;
	if (u64_map_put(&names->by_source, (uintptr_t)source, names->count) == 0)
		names->count++;
}

static struct function_name *make(struct image_names *names, const char *name, const char *system_name)
{
	struct function_name *item = arena_alloc(&names->arena, sizeof(*item));
	if (!item)
		return NULL;
	item->system_name = arena_copy(&names->arena, system_name, strlen(system_name));
	item->name = strcmp(name, system_name) ? arena_copy(&names->arena, name, strlen(name))
					       : item->system_name;
	return item->name && item->system_name ? item : NULL;
}

const struct function_name *image_names_of_symbol(struct image_names *names, const char *symbol)
{
	const struct function_name *item = NULL;
	if (find(names, symbol, &item))
		return item;
	char text[DEMANGLE_MAX + sizeof(PLT_SUFFIX)];
	size_t total = strlen(symbol), base = demangle_base_length(symbol);
	size_t length = demangle(symbol, text);
	if (!length && base < DEMANGLE_MAX) {
		memcpy(text, symbol, base);
		text[base] = '\0';
		length = base;
	}
	bool is_plt = total > base && !strcmp(symbol + base, PLT_SUFFIX);
	if (is_plt)
		memcpy(text + length, PLT_SUFFIX, sizeof(PLT_SUFFIX));
	/* A version is no part of the linkage name, an optimiser's suffix is. */
	const char *version = strchr(symbol, '@');
	const char *linkage = !is_plt && version && version > symbol
				      ? arena_copy(&names->arena, symbol, (size_t)(version - symbol))
				      : symbol;
	item = linkage ? make(names, length ? text : linkage, linkage) : NULL;
	remember(names, symbol, item);
	return item;
}

/* Appends without "/./" and "//"; returns the new end. */
static char *append_path(char *to, const char *from)
{
	while (*from) {
		if (from[0] == '/' && from[1] == '/')
			from++;
		else if (from[0] == '/' && from[1] == '.' && from[2] == '/')
			from += 2;
		else
			*to++ = *from++;
	}
	*to = '\0';
	return to;
}

const char *image_names_of_path(struct image_names *names, Dwarf_Die *unit, const char *path)
{
	const struct function_name *item = NULL;
	if (find(names, path, &item))
		return item ? item->file : NULL;
	Dwarf_Attribute attribute;
	const char *directory = path[0] == '/'
					? NULL
					: dwarf_formstring(dwarf_attr(unit, DW_AT_comp_dir, &attribute));
	if (!directory || directory[0] != '/')
		directory = "";
	char *tidy = arena_alloc(&names->arena, strlen(directory) + strlen(path) + 2);
	struct function_name *made = arena_alloc(&names->arena, sizeof(*made));
	if (!tidy || !made)
		return NULL;
	const char *relative = path;
	char *end = append_path(tidy, directory);
	if (*directory) {
		*end++ = '/';
		while (relative[0] == '.' && relative[1] == '/')
			relative += 2;
	}
	append_path(end, relative);
	made->file = tidy;
	remember(names, path, made);
	return tidy;
}

static const char *string_attribute(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attribute;
	return dwarf_formstring(dwarf_attr_integrate(die, name, &attribute));
}

/* The DIE that declares the function: where its scopes are. */
static Dwarf_Die declaration_of(Dwarf_Die *die)
{
	Dwarf_Die at = *die;
	for (int i = 0; i < REFERENCES_MAX; i++) {
		Dwarf_Attribute attribute;
		Dwarf_Die next;
		if (!dwarf_attr(&at, DW_AT_abstract_origin, &attribute) &&
		    !dwarf_attr(&at, DW_AT_specification, &attribute))
			break;
		if (!dwarf_formref_die(&attribute, &next))
			break;
		at = next;
	}
	return at;
}

/*
 * The DIEs around one, outermost first, without the unit.  Each level is searched
 * for the last sibling that does not start behind the target.
 */
static size_t find_scopes(Dwarf_Die *target, Dwarf_Die out_scopes[SCOPES_MAX])
{
	Dwarf_Die level, unit;
	Dwarf_Off wanted = dwarf_dieoffset(target);
	unsigned steps = 0;
	size_t count = 0;
	if (!dwarf_diecu(target, &unit, NULL, NULL) || dwarf_child(&unit, &level) != 0)
		return 0;
	while (count < SCOPES_MAX) {
		Dwarf_Die next, last = level;
		if (dwarf_dieoffset(&last) >= wanted)
			break;
		while (dwarf_siblingof(&last, &next) == 0 &&
		       dwarf_dieoffset(&next) > dwarf_dieoffset(&last) && dwarf_dieoffset(&next) <= wanted &&
		       steps++ < SCOPE_STEPS_MAX)
			last = next;
		if (dwarf_dieoffset(&last) == wanted || dwarf_child(&last, &level) != 0)
			break;
		out_scopes[count++] = last;
	}
	return count;
}

static bool has_qualified_names(Dwarf_Die *die)
{
	Dwarf_Die unit;
	if (!dwarf_diecu(die, &unit, NULL, NULL))
		return false;
	switch (dwarf_srclang(&unit)) {
	case DW_LANG_C_plus_plus:
	case DW_LANG_C_plus_plus_03:
	case DW_LANG_C_plus_plus_11:
	case DW_LANG_C_plus_plus_14:
	case 0x2b: /* C++17 and */
	case 0x2c: /* C++20: in newer headers than Debian 12's */
	case DW_LANG_Rust:
		return true;
	default:
		return false;
	}
}

/* "outer::inner::" + name. */
static void qualify(Dwarf_Die *die, const char *name, char out_text[DEMANGLE_MAX])
{
	Dwarf_Die scopes[SCOPES_MAX], declaration = declaration_of(die);
	size_t used = 0, count = 0;
	if (has_qualified_names(&declaration))
		count = find_scopes(&declaration, scopes);
	for (size_t i = 0; i < count; i++) {
		int tag = dwarf_tag(&scopes[i]);
		const char *scope = dwarf_diename(&scopes[i]);
		if (tag == DW_TAG_lexical_block || tag == DW_TAG_imported_unit)
			continue;
		if (!scope)
			scope = tag == DW_TAG_namespace           ? "(anonymous namespace)"
				: strcmp(name, "operator()") == 0 ? "{lambda}"
								  : "(anonymous)";
		size_t length = strlen(scope);
		if (length + 2 >= DEMANGLE_MAX - used)
			break;
		memcpy(out_text + used, scope, length);
		memcpy(out_text + used + length, "::", 2);
		used += length + 2;
	}
	size_t length = strlen(name);
	if (length >= DEMANGLE_MAX - used)
		length = DEMANGLE_MAX - used - 1;
	memcpy(out_text + used, name, length);
	out_text[used + length] = '\0';
}

/*
 * Where the function is declared.  Not dwarf_decl_file(): that of elfutils 0.188
 * aborts for a unit without a line table.
 */
static void set_declaration(struct image_names *names, Dwarf_Die *die, struct function_name *item)
{
	Dwarf_Attribute attribute;
	Dwarf_Word number;
	Dwarf_Die unit;
	Dwarf_Files *files;
	size_t count;
	int line;
	if (dwarf_formudata(dwarf_attr_integrate(die, DW_AT_decl_file, &attribute), &number) != 0 ||
	    !dwarf_cu_die(attribute.cu, &unit, NULL, NULL, NULL, NULL, NULL, NULL) ||
	    dwarf_getsrcfiles(&unit, &files, &count) != 0 || number >= count)
		return;
	const char *path = dwarf_filesrc(files, number, NULL, NULL);
	if (path && dwarf_decl_line(die, &line) == 0 && line > 0) {
		item->file = image_names_of_path(names, &unit, path);
		item->line = (uint32_t)line;
	}
}

static const struct function_name *make_of_die(struct image_names *names, Dwarf_Die *die)
{
	char text[DEMANGLE_MAX];
	const char *linkage = string_attribute(die, DW_AT_linkage_name);
	if (!linkage)
		linkage = string_attribute(die, DW_AT_MIPS_linkage_name);
	const char *plain = string_attribute(die, DW_AT_name);
	if (!linkage && !plain)
		return NULL;
	if (!linkage || !demangle(linkage, text))
		qualify(die, plain ? plain : linkage, text);
	struct function_name *item = make(names, text, linkage ? linkage : plain);
	if (!item)
		return NULL;
	set_declaration(names, die, item);
	return item;
}

const struct function_name *image_names_of_die(struct image_names *names, Dwarf_Die *die)
{
	const struct function_name *item = NULL;
	Dwarf_Die origin = *die, referenced;
	Dwarf_Attribute attribute;
	/* All inlined copies of a function share one name. */
	if (dwarf_tag(die) == DW_TAG_inlined_subroutine &&
	    dwarf_attr(die, DW_AT_abstract_origin, &attribute) && dwarf_formref_die(&attribute, &referenced))
		origin = referenced;
	if (find(names, origin.addr, &item))
		return item;
	item = make_of_die(names, &origin);
	remember(names, origin.addr, item);
	return item;
}
