/* SPDX-License-Identifier: MIT */
/*
 * Each table remembers its entries by hash; entries with equal hashes are told apart
 * by comparing them, so that no choice of names can mix two of them up.
 *
 * Context: collector; see pprof_tables.h.
 */
#include "pprof_tables.h"

#include <stdlib.h>
#include <string.h>

#include "cprof_compiler.h"
#include "image.h"
#include "perf_map.h"
#include "pprof.h"
#include "utf8.h"

#define NOT_SHOWN UINT32_MAX

void pointer_list_add(struct pointer_list *list, void *item, bool *is_failed)
{
	if (!item) {
		*is_failed = true;
		return;
	}
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? 2 * list->capacity : 256;
		void **items = reallocarray(list->items, capacity, sizeof(*items));
		if (!items) {
			*is_failed = true;
			return;
		}
		list->items = items;
		list->capacity = capacity;
	}
	list->items[list->count++] = item;
}

bool pprof_tables_probe(const struct u64_map *map, uint64_t *hash,
			bool (*is_equal)(const void *, uint32_t, const void *), const void *context,
			const void *key, uint32_t *out_index)
{
	while (u64_map_find(map, *hash, out_index)) {
		if (is_equal(context, *out_index, key))
			return true;
		*hash = cprof_mix64(*hash + 1);
	}
	return false;
}

static void put(struct pprof_tables *tables, struct u64_map *map, uint64_t key, uint32_t value)
{
	if (u64_map_put(map, key, value) < 0)
		tables->is_failed = true;
}

/* ---- strings ----------------------------------------------------------------------------------- */

/* FNV-1a (Fowler, Noll, Vo, public domain). */
static uint64_t hash_text(const char *text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return hash;
}

static bool is_string(const void *context, uint32_t index, const void *key)
{
	const struct pprof_tables *tables = context;
	return !strcmp(tables->strings.items[index], key);
}

int64_t pprof_tables_string(struct pprof_tables *tables, const char *text)
{
	uint32_t index;
	uint64_t hash;
	if (!utf8_is_valid(text)) {
		text = utf8_copy(&tables->arena, text);
		if (!text) {
			tables->is_failed = true;
			return 0;
		}
	}
	hash = hash_text(text);
	if (pprof_tables_probe(&tables->string_of, &hash, is_string, tables, text, &index))
		return index;
	index = (uint32_t)tables->strings.count;
	pointer_list_add(&tables->strings, arena_copy(&tables->arena, text, strlen(text)),
			 &tables->is_failed);
	if (tables->is_failed)
		return 0;
	put(tables, &tables->string_of, hash, index);
	return index;
}

/* ---- functions --------------------------------------------------------------------------------- */

static bool is_function(const void *context, uint32_t index, const void *key)
{
	const struct pprof_tables *tables = context;
	const Perftools__Profiles__Function *a = tables->functions.items[index], *b = key;
	return a->name == b->name && a->system_name == b->system_name && a->filename == b->filename &&
	       a->start_line == b->start_line;
}

static uint64_t function_id(struct pprof_tables *tables, const struct image_line *line)
{
	Perftools__Profiles__Function key = PERFTOOLS__PROFILES__FUNCTION__INIT;
	key.name = pprof_tables_string(tables, line->name);
	key.system_name = pprof_tables_string(tables, line->system_name);
	key.filename = pprof_tables_string(tables, line->file ? line->file : "");
	key.start_line = line->start_line;
	uint64_t hash = cprof_mix64((uint64_t)key.name << 32 ^ (uint64_t)key.system_name);
	hash = cprof_mix64(hash ^ (uint64_t)key.filename << 32 ^ (uint64_t)key.start_line);
	uint32_t index;
	if (pprof_tables_probe(&tables->function_of, &hash, is_function, tables, &key, &index))
		return index + 1;
	index = (uint32_t)tables->functions.count;
	key.id = index + 1;
	Perftools__Profiles__Function *function = arena_alloc(&tables->arena, sizeof(*function));
	if (function)
		*function = key;
	pointer_list_add(&tables->functions, function, &tables->is_failed);
	if (!tables->is_failed)
		put(tables, &tables->function_of, hash, index);
	return key.id;
}

/* ---- locations --------------------------------------------------------------------------------- */

static uint32_t add_location(struct pprof_tables *tables, uint32_t module, uint64_t address,
			     const struct image_line *lines, size_t count)
{
	uint32_t index = (uint32_t)tables->locations.count;
	struct pprof_location *location = arena_alloc(&tables->arena, sizeof(*location));
	Perftools__Profiles__Line **list = arena_pointers(&tables->arena, count);
	Perftools__Profiles__Line *messages = arena_array(&tables->arena, count, sizeof(*messages));
	pointer_list_add(&tables->locations, location, &tables->is_failed);
	if (tables->is_failed || !list || !messages) {
		tables->is_failed = true;
		return 0;
	}
	for (size_t i = 0; i < count; i++) {
		list[i] = &messages[i];
		perftools__profiles__line__init(&messages[i]);
		messages[i].function_id = function_id(tables, &lines[i]);
		messages[i].line = lines[i].line;
		messages[i].column = lines[i].column;
	}
	perftools__profiles__location__init(&location->message);
	location->message.id = index + 1;
	location->message.address = address;
	location->message.n_line = count;
	location->message.line = list;
	location->module = module;
	return index;
}

/* Index of the module with this id, PPROF_NO_MODULE if there is none. */
static uint32_t find_module(const struct profile *profile, uint32_t id)
{
	const struct profile_module *module = profile_find_module(profile->modules, profile->module_count,
								  id);
	return module ? (uint32_t)(module - profile->modules) : PPROF_NO_MODULE;
}

static uint32_t symbolise(struct pprof_tables *tables, uint32_t module_index, uint64_t offset)
{
	struct image_line lines[IMAGE_LINES_MAX];
	size_t count = 0;
	const struct profile *profile = tables->profile;
	if (module_index == profile->module_count) {
		/* Without a linkage name: with an equal one, pprof would take it for C++ and shorten it. */
		const char *name = profile->jit ? perf_map_find(profile->jit, offset) : NULL;
		lines[0] = (struct image_line){.name = name ? name : PPROF_NAMELESS, .system_name = ""};
		return add_location(tables, module_index, offset, lines, 1);
	}
	if (module_index == PPROF_NO_MODULE)
		return add_location(tables, PPROF_NO_MODULE, offset, NULL, 0);
	const struct profile_module *module = &profile->modules[module_index];
	if (module->image)
		count = image_symbolise(module->image, offset, lines, IMAGE_LINES_MAX);
	return add_location(tables, module_index, module->bias + offset, lines, count);
}

/* What a frame word says, as index into locations; or NOT_SHOWN. */
static uint32_t location_of_frame(struct pprof_tables *tables, uint64_t frame)
{
	const struct profile *profile = tables->profile;
	uint32_t id = cprof_frame_module(frame), index;
	uint32_t module = id == CPROF_MODULE_NONE ? (uint32_t)profile->module_count
						  : find_module(profile, id);
	if (module < profile->module_count && (profile->modules[module].flags & CPROF_MODULE_IS_CPROF))
		return NOT_SHOWN;
	/* A return address may already belong to the next line, or to the next function. */
	uint64_t offset = cprof_frame_offset(frame);
	if (!(frame & CPROF_FRAME_EXACT) && offset > 0)
		offset--;
	uint64_t key = cprof_frame(id, offset);
	if (u64_map_find(&tables->location_of_address, key, &index))
		return index;
	index = symbolise(tables, module, offset);
	put(tables, &tables->location_of_address, key, index);
	return index;
}

uint64_t pprof_tables_frame(struct pprof_tables *tables, uint64_t frame)
{
	uint32_t index;
	if (!u64_map_find(&tables->location_of_frame, frame, &index)) {
		index = location_of_frame(tables, frame);
		put(tables, &tables->location_of_frame, frame, index);
	}
	return index == NOT_SHOWN ? 0 : (uint64_t)index + 1;
}

uint64_t pprof_tables_synthetic(struct pprof_tables *tables, const char *name)
{
	struct image_line line = {.name = name, .system_name = ""};
	/* They are few, and are the only locations without a module that have lines. */
	int64_t string = pprof_tables_string(tables, name);
	if (tables->is_failed)
		return 0;
	for (size_t i = 0; i < tables->locations.count; i++) {
		const struct pprof_location *l = tables->locations.items[i];
		if (l->module != PPROF_NO_MODULE || l->message.n_line != 1)
			continue;
		const Perftools__Profiles__Function *f =
			tables->functions.items[l->message.line[0]->function_id - 1];
		if (f->name == string)
			return l->message.id;
	}
	return (uint64_t)add_location(tables, PPROF_NO_MODULE, 0, &line, 1) + 1;
}

void pprof_tables_init(struct pprof_tables *tables, const struct profile *profile)
{
	*tables = (struct pprof_tables){.profile = profile};
	pprof_tables_string(tables, "");
}

void pprof_tables_fini(struct pprof_tables *tables)
{
	u64_map_fini(&tables->string_of);
	u64_map_fini(&tables->function_of);
	u64_map_fini(&tables->location_of_frame);
	u64_map_fini(&tables->location_of_address);
	free(tables->strings.items);
	free(tables->functions.items);
	free(tables->locations.items);
	arena_fini(&tables->arena);
}
