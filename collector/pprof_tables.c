/* SPDX-License-Identifier: MIT */
/*
 * pprof symbolises a mapping by itself, from whatever file it finds at its path,
 * unless one of the mapping's has_* flags is set; then it believes all of it.  So a
 * mapping that is symbolised in part is written twice: once with flags, for the
 * locations that have functions, once without, for the others.
 *
 * When pprof merges profiles, it takes mappings with equal length, offset and build
 * id for one and would undo this.  The second entry is therefore one page longer
 * than the segment; nothing in pprof depends on the end of a user mapping.
 *
 * Context: collector; see pprof_tables.h.
 */
#include "pprof_tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cprof_compiler.h"
#include "image.h"
#include "perf_map.h"

#define NOT_SHOWN UINT32_MAX
#define NO_MODULE UINT32_MAX
#define PAGE_BYTES 4096
/* Where code without a file is said to lie; what Linux perf calls it, pprof knows it. */
#define ANON_FILE "//anon"
#define ANON_LIMIT (UINT64_C(1) << 47)

struct pprof_location {
	Perftools__Profiles__Location message;
	uint32_t module; /* index into the profile's modules; module_count: anonymous; or NO_MODULE */
};

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

/* Length of the UTF-8 sequence (RFC 3629) at text, 0 if it is not one. */
static size_t utf8_length(const unsigned char *text)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
	for (size_t more = 0; more < ARRAY_LENGTH(forms); more++) {
		if ((text[0] & forms[more].mask) != forms[more].lead)
			continue;
		uint32_t point = text[0] & (unsigned char)~forms[more].mask;
		for (size_t i = 1; i <= more; i++) {
			if ((text[i] & 0xc0) != 0x80)
				return 0;
			point = point << 6 | (text[i] & 0x3fu);
		}
		bool is_valid = point >= forms[more].least && point <= 0x10ffff &&
				!(point >= 0xd800 && point < 0xe000);
		return is_valid ? more + 1 : 0;
	}
	return 0;
}

/* A copy in which each byte that is not UTF-8 has become U+FFFD. */
static char *copy_as_utf8(struct arena *arena, const char *text)
{
	char *copy = arena_alloc(arena, 3 * strlen(text) + 1);
	char *to = copy;
	for (const unsigned char *from = (const unsigned char *)text; copy && *from;) {
		size_t length = utf8_length(from);
		memcpy(to, length ? (const char *)from : "\xef\xbf\xbd", length ? length : 3);
		to += length ? length : 3;
		from += length ? length : 1;
	}
	return copy;
}

static bool is_utf8(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	while (*at) {
		size_t length = utf8_length(at);
		if (!length)
			return false;
		at += length;
	}
	return true;
}

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
	if (!is_utf8(text)) {
		text = copy_as_utf8(&tables->arena, text);
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
	Perftools__Profiles__Line **list = arena_array(&tables->arena, count, sizeof(*list));
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

/* Index of the module with this id, NO_MODULE if there is none. */
static uint32_t find_module(const struct profile *profile, uint32_t id)
{
	size_t low = 0, high = profile->module_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (profile->modules[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < profile->module_count && profile->modules[low].id == id ? (uint32_t)low : NO_MODULE;
}

static uint32_t symbolise(struct pprof_tables *tables, uint32_t module_index, uint64_t offset)
{
	struct image_line lines[IMAGE_LINES_MAX];
	size_t count = 0;
	const struct profile *profile = tables->profile;
	if (module_index == profile->module_count) {
		/* Without a linkage name: with an equal one, pprof would take it for C++ and shorten it. */
		const char *name = profile->jit ? perf_map_find(profile->jit, offset) : NULL;
		if (name)
			lines[count++] = (struct image_line){.name = name, .system_name = ""};
		return add_location(tables, module_index, offset, lines, count);
	}
	if (module_index == NO_MODULE)
		return add_location(tables, NO_MODULE, offset, NULL, 0);
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
	for (size_t i = 0; i < tables->locations.count; i++) {
		const struct pprof_location *l = tables->locations.items[i];
		if (l->module != NO_MODULE || l->message.n_line != 1)
			continue;
		const Perftools__Profiles__Function *f =
			tables->functions.items[l->message.line[0]->function_id - 1];
		if (f->name == string)
			return l->message.id;
	}
	return (uint64_t)add_location(tables, NO_MODULE, 0, &line, 1) + 1;
}

/* ---- mappings ---------------------------------------------------------------------------------- */

/* What the locations of a module have, split by whether they have functions. */
struct usage {
	size_t named, unnamed;
	bool has_files, has_line_numbers;
	uint64_t named_mapping, unnamed_mapping; /* ids */
};

static void count_usage(const struct pprof_tables *tables, struct usage *usages)
{
	for (size_t i = 0; i < tables->locations.count; i++) {
		const struct pprof_location *l = tables->locations.items[i];
		if (l->module == NO_MODULE)
			continue;
		struct usage *usage = &usages[l->module];
		usage->named += l->message.n_line > 0;
		usage->unnamed += l->message.n_line == 0;
		for (size_t j = 0; j < l->message.n_line; j++) {
			const Perftools__Profiles__Line *line = l->message.line[j];
			const Perftools__Profiles__Function *f =
				tables->functions.items[line->function_id - 1];
			usage->has_files = usage->has_files || f->filename;
			usage->has_line_numbers = usage->has_line_numbers || line->line;
		}
	}
}

/* As in /proc/PID/maps, without the mark of a deleted file. */
static int64_t file_string(struct pprof_tables *tables, const char *path)
{
	static const char deleted[] = " (deleted)";
	size_t length = path ? strlen(path) : 0;
	if (length > sizeof(deleted) - 1 && !strcmp(path + length - (sizeof(deleted) - 1), deleted))
		path = arena_copy(&tables->arena, path, length - (sizeof(deleted) - 1));
	return pprof_tables_string(tables, path ? path : "");
}

static int64_t build_id_string(struct pprof_tables *tables, const struct profile_module *module)
{
	char text[2 * CPROF_BUILD_ID_MAX + 1] = "";
	for (uint32_t i = 0; i < module->build_id_bytes && i < CPROF_BUILD_ID_MAX; i++)
		snprintf(text + 2 * i, 3, "%02x", module->build_id[i]);
	return pprof_tables_string(tables, text);
}

static Perftools__Profiles__Mapping *add_mapping(struct pprof_tables *tables, struct pointer_list *mappings,
						 const Perftools__Profiles__Mapping *mapping)
{
	Perftools__Profiles__Mapping *copy = arena_alloc(&tables->arena, sizeof(*copy));
	if (copy) {
		*copy = *mapping;
		copy->id = mappings->count + 1;
	}
	pointer_list_add(mappings, copy, &tables->is_failed);
	return tables->is_failed ? NULL : copy;
}

/* The entries of one module: the one with flags first. */
static void add_module(struct pprof_tables *tables, struct pointer_list *mappings, struct usage *usage,
		       size_t index)
{
	const struct profile *profile = tables->profile;
	Perftools__Profiles__Mapping mapping = PERFTOOLS__PROFILES__MAPPING__INIT;
	bool has_inlines = false;
	if (index == profile->module_count) {
		mapping.memory_limit = ANON_LIMIT;
		mapping.filename = pprof_tables_string(tables, ANON_FILE);
	} else {
		const struct profile_module *module = &profile->modules[index];
		mapping.memory_start = module->text_start;
		mapping.memory_limit = module->text_end;
		mapping.file_offset = module->text_offset;
		mapping.filename = file_string(tables, module->path);
		mapping.build_id = build_id_string(tables, module);
		has_inlines = usage->named && image_has_lines(module->image);
	}
	/* The second entry always has its own length, whether or not this profile has the first. */
	if (usage->named || !usage->unnamed) {
		Perftools__Profiles__Mapping *named = add_mapping(tables, mappings, &mapping);
		if (!named)
			return;
		named->has_functions = usage->named > 0;
		/* In pprof's own sense: some of them have it. */
		named->has_filenames = usage->has_files;
		named->has_line_numbers = usage->has_line_numbers;
		named->has_inline_frames = has_inlines;
		usage->named_mapping = named->id;
	}
	if (usage->unnamed) {
		if (mapping.memory_limit <= UINT64_MAX - PAGE_BYTES)
			mapping.memory_limit += PAGE_BYTES;
		add_mapping(tables, mappings, &mapping);
		usage->unnamed_mapping = mappings->count;
	}
}

static void add_mappings(struct pprof_tables *tables, struct pointer_list *mappings, struct usage *usages)
{
	const struct profile *profile = tables->profile;
	/* pprof takes the first mapping for the program. */
	for (int is_main = 1; is_main >= 0; is_main--)
		for (size_t i = 0; i < profile->module_count; i++) {
			uint32_t flags = profile->modules[i].flags;
			if (!(flags & CPROF_MODULE_IS_CPROF) && is_main == !!(flags & CPROF_MODULE_IS_MAIN))
				add_module(tables, mappings, &usages[i], i);
		}
	struct usage *anonymous = &usages[profile->module_count];
	if (anonymous->named || anonymous->unnamed)
		add_module(tables, mappings, anonymous, profile->module_count);
}

void pprof_tables_finish(struct pprof_tables *tables, Perftools__Profiles__Profile *out_message)
{
	struct pointer_list mappings = {0};
	struct usage *usages = arena_array(&tables->arena, tables->profile->module_count + 1,
					   sizeof(*usages));
	Perftools__Profiles__Location **locations = arena_array(&tables->arena, tables->locations.count,
								sizeof(*locations));
	if (!usages || !locations || tables->is_failed) {
		tables->is_failed = true;
		return;
	}
	count_usage(tables, usages);
	add_mappings(tables, &mappings, usages);
	for (size_t i = 0; i < tables->locations.count; i++) {
		struct pprof_location *l = tables->locations.items[i];
		locations[i] = &l->message;
		if (l->module == NO_MODULE)
			continue;
		const struct usage *usage = &usages[l->module];
		l->message.mapping_id = l->message.n_line ? usage->named_mapping : usage->unnamed_mapping;
	}
	Perftools__Profiles__Mapping **list = arena_array(&tables->arena, mappings.count, sizeof(*list));
	if (list && mappings.count)
		memcpy(list, mappings.items, mappings.count * sizeof(*list));
	else
		tables->is_failed = tables->is_failed || !list;
	free(mappings.items);
	out_message->n_mapping = mappings.count;
	out_message->mapping = list;
	out_message->n_location = tables->locations.count;
	out_message->location = locations;
	out_message->n_function = tables->functions.count;
	out_message->function = (Perftools__Profiles__Function **)tables->functions.items;
	out_message->n_string_table = tables->strings.count;
	out_message->string_table = (char **)tables->strings.items;
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
