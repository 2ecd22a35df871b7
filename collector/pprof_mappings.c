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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "pprof_tables.h"

#define PAGE_BYTES 4096
/* Where code without a file is said to lie: no pprof ever tries to open a name with such a bracket. */
#define ANON_FILE "[anon]"
#define ANON_LIMIT (UINT64_C(1) << 47)

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
		if (l->module == PPROF_NO_MODULE)
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
	Perftools__Profiles__Location **locations = arena_pointers(&tables->arena, tables->locations.count);
	if (!usages || !locations || tables->is_failed) {
		tables->is_failed = true;
		return;
	}
	count_usage(tables, usages);
	add_mappings(tables, &mappings, usages);
	for (size_t i = 0; i < tables->locations.count; i++) {
		struct pprof_location *l = tables->locations.items[i];
		locations[i] = &l->message;
		if (l->module == PPROF_NO_MODULE)
			continue;
		const struct usage *usage = &usages[l->module];
		l->message.mapping_id = l->message.n_line ? usage->named_mapping : usage->unnamed_mapping;
	}
	Perftools__Profiles__Mapping **list = arena_pointers(&tables->arena, mappings.count);
	if (list && mappings.count)
		memcpy(list, mappings.items, mappings.count * sizeof(void *));
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
