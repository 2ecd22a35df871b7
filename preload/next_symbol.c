/* SPDX-License-Identifier: MIT */
/*
 * The search is that of glibc's do_lookup_x() and check_match() (elf/dl-lookup.c, 2.36) for
 * a name without a version: of an object that has versions, the only default one.
 *
 * Context: init.
 */
#include "next_symbol.h"

#include <dlfcn.h>
#include <gnu/lib-names.h>
#include <stddef.h>
#include <string.h>

#include "cprof_compiler.h"
#include "text.h"

#pragma weak _dl_find_object
#pragma weak dlvsym /* as those in load.c */

#define VERSION_HIDDEN 0x8000u
/* Below it are those of symbols that have none. */
#define VERSION_FIRST_NAMED 2u
/* Lower ones were not made addresses by the dynamic linker. */
#define ADDRESS_MIN UINT64_C(4096)

enum found { FOUND_NOTHING, FOUND_SYMBOL, FOUND_UNCLEAR };

struct link_map *next_own_object(void)
{
	struct dl_find_object found;
	return _dl_find_object && _dl_find_object((void *)(uintptr_t)next_own_object, &found) == 0
		       ? found.dlfo_link_map
		       : NULL;
}

static uint32_t hash_of(const char *name)
{
	uint32_t hash = 5381;
	for (; *name; name++)
		hash = hash * 33 + (unsigned char)*name;
	return hash;
}

/* False: it has no table that can be used. */
static bool read_object(const struct link_map *map, struct next_object *out_object)
{
	const uint32_t *table = NULL;
	*out_object = (struct next_object){.bias = map->l_addr};
	for (const ElfW(Dyn) *entry = map->l_ld; entry && entry->d_tag != DT_NULL; entry++) {
		const void *address = (const void *)entry->d_un.d_ptr;
		if (entry->d_tag == DT_SYMTAB)
			out_object->symbols = address;
		else if (entry->d_tag == DT_STRTAB)
			out_object->strings = address;
		else if (entry->d_tag == DT_VERSYM)
			out_object->versions = address;
		else if (entry->d_tag == DT_GNU_HASH)
			table = address;
	}
	if ((uint64_t)(uintptr_t)table < ADDRESS_MIN || (uint64_t)(uintptr_t)table < map->l_addr)
		return false;
	out_object->bucket_count = table[0];
	out_object->first_symbol = table[1];
	out_object->bloom_mask = table[2] - 1;
	out_object->bloom_shift = table[3];
	out_object->bloom = (const uint64_t *)(const void *)(table + 4);
	out_object->buckets = (const uint32_t *)(const void *)(out_object->bloom + table[2]);
	out_object->chains = out_object->buckets + table[0];
	return out_object->bucket_count && out_object->symbols && out_object->strings;
}

/* It is among the loaded objects, but not searched. */
static bool is_vdso(const struct link_map *map)
{
	return strncmp(map->l_name, "linux-vdso", strlen("linux-vdso")) == 0;
}

void next_scope_open(struct next_scope *out_scope, const struct link_map *ours)
{
	out_scope->count = out_scope->start_count = 0;
	out_scope->is_whole = false;
	for (const struct link_map *map = ours ? ours->l_next : NULL; map; map = map->l_next) {
		if (is_vdso(map))
			continue;
		if (out_scope->count == NEXT_OBJECTS_MAX ||
		    !read_object(map, &out_scope->objects[out_scope->count]))
			return;
		out_scope->count++;
		if (strcmp(text_basename(map->l_name), LIBC_SO) == 0)
			out_scope->start_count = out_scope->count;
	}
	/* Behind libc we were loaded by dlopen(), and the order is another one. */
	out_scope->is_whole = out_scope->start_count != 0;
}

/* Whether the symbol is one that a search may give; IFUNCs and the like are left to dlsym. */
static enum found judge(const ElfW(Sym) *symbol)
{
	unsigned bind = ELF64_ST_BIND(symbol->st_info);
	unsigned visibility = ELF64_ST_VISIBILITY(symbol->st_other);
	if (symbol->st_shndx == SHN_UNDEF || symbol->st_value == 0 || bind == STB_LOCAL ||
	    visibility == STV_HIDDEN || visibility == STV_INTERNAL)
		return FOUND_NOTHING;
	bool is_plain = ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
			(bind == STB_GLOBAL || bind == STB_WEAK);
	return is_plain ? FOUND_SYMBOL : FOUND_UNCLEAR;
}

static enum found find_in(const struct next_object *object, const char *name, uint32_t hash,
			  void **out_function)
{
	uint64_t word = object->bloom[hash / 64 & object->bloom_mask];
	if (!(word >> (hash % 64) & word >> ((hash >> object->bloom_shift) % 64) & 1))
		return FOUND_NOTHING;
	uint32_t at = object->buckets[hash % object->bucket_count];
	const ElfW(Sym) *only = NULL;
	if (at == 0)
		return FOUND_NOTHING;
	for (;; at++) {
		uint32_t theirs = object->chains[at - object->first_symbol];
		const ElfW(Sym) *symbol = &object->symbols[at];
		enum found found = FOUND_NOTHING;
		if ((theirs | 1) == (hash | 1) && strcmp(object->strings + symbol->st_name, name) == 0)
			found = judge(symbol);
		uint32_t version = object->versions ? object->versions[at] : 0;
		bool is_named = (version & ~VERSION_HIDDEN) >= VERSION_FIRST_NAMED;
		if (is_named && version & VERSION_HIDDEN)
			found = FOUND_NOTHING;
		if (found == FOUND_UNCLEAR || (found == FOUND_SYMBOL && only))
			return FOUND_UNCLEAR;
		if (found == FOUND_SYMBOL)
			only = symbol;
		if (theirs & 1)
			break;
	}
	if (!only)
		return FOUND_NOTHING;
	*out_function = (void *)(uintptr_t)(object->bias + only->st_value);
	return FOUND_SYMBOL;
}

static enum found find(const struct next_scope *scope, const char *name, void **out_function)
{
	uint32_t hash = hash_of(name);
	for (uint32_t i = 0; i < scope->count; i++) {
		enum found found = find_in(&scope->objects[i], name, hash, out_function);
		if (found != FOUND_NOTHING)
			return i < scope->start_count ? found : FOUND_UNCLEAR;
	}
	return scope->is_whole ? FOUND_NOTHING : FOUND_UNCLEAR;
}

void *next_symbol(const struct next_scope *scope, const char *name)
{
	void *function = NULL;
	return find(scope, name, &function) == FOUND_UNCLEAR ? dlsym(RTLD_NEXT, name) : function;
}

/* A look-up by version would pass by interposers behind us that have none. */
static void *ask_for_default(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);
#if defined(__x86_64__)
	if (dlvsym && (!function || function == dlvsym(RTLD_NEXT, name, "GLIBC_2.2.5")))
		function = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
#endif
	return function;
}

void *next_symbol_default(const struct next_scope *scope, const char *name)
{
	void *function = NULL;
	return find(scope, name, &function) == FOUND_SYMBOL ? function : ask_for_default(name);
}

void *next_symbol_of_libc(const struct next_scope *scope, const char *name)
{
	void *function = NULL;
	if (scope->start_count &&
	    find_in(&scope->objects[scope->start_count - 1], name, hash_of(name), &function) == FOUND_SYMBOL)
		return function;
	/* The handle is not closed: this may run while dlclose is still to be found, and libc stays. */
	void *libc = dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
	return libc ? dlsym(libc, name) : NULL;
}

bool next_may_be_in_front(const struct link_map *ours, const char *name)
{
	uint32_t hash = hash_of(name);
	for (const struct link_map *map = ours ? ours->l_prev : NULL; map; map = map->l_prev) {
		struct next_object object;
		void *function;
		if (!is_vdso(map) &&
		    (!read_object(map, &object) || find_in(&object, name, hash, &function) != FOUND_NOTHING))
			return true;
	}
	return !ours;
}

bool next_executable_has_libraries(const struct link_map *ours)
{
	const struct link_map *map = ours;
	while (map && map->l_prev)
		map = map->l_prev;
	for (const ElfW(Dyn) *entry = map ? map->l_ld : NULL; entry && entry->d_tag != DT_NULL; entry++)
		if (entry->d_tag == DT_NEEDED)
			return true;
	return !map;
}
