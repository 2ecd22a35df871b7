/* SPDX-License-Identifier: MIT */
/*
 * Rows are published in any order (each by its own thread), so the scan stops at the
 * first one that is still being written and looks beyond it for later ones; a row
 * that was copied is recognised by its id.
 *
 * Context: collector, main thread.
 */
#include "module_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"

/* Loads a row once.  False: not published (yet). */
static bool load_row(const struct segment_reader *reader, uint32_t row, struct cprof_module *out_copy)
{
	const struct cprof_module *shared = segment_reader_module(reader, row);
	/* Acquire: pairs with the release store that publishes the row. */
	uint32_t state = load_acquire(&shared->state);
	if (state != CPROF_MODULE_LOADED && state != CPROF_MODULE_UNLOADED)
		return false;
	memcpy(out_copy, shared, sizeof *out_copy);
	return true;
}

static bool is_row_sound(const struct segment_reader *reader, const struct cprof_module *row)
{
	return row->path_bytes > 0 && row->path_bytes < CPROF_PATH_BYTES &&
	       row->path_offset < reader->geometry.strings_bytes &&
	       row->path_bytes <= reader->geometry.strings_bytes - row->path_offset &&
	       row->build_id_bytes <= CPROF_BUILD_ID_MAX && row->text_start <= row->text_end;
}

static void take_addresses(struct profile_module *module, const struct cprof_module *row)
{
	module->bias = row->bias;
	module->text_start = row->text_start;
	module->text_end = row->text_end;
	module->text_offset = row->text_offset;
}

/* Where a row belongs in the sorted array; *out_found if it is there already. */
static size_t position_of(const struct module_rows *rows, uint32_t id, bool *out_found)
{
	size_t at = rows->count;
	while (at > 0 && rows->modules[at - 1].id > id)
		at--;
	*out_found = at > 0 && rows->modules[at - 1].id == id;
	return at;
}

/* Returns 0 or -ENOMEM. */
static int insert(struct module_rows *rows, const struct segment_reader *reader, uint32_t id, size_t at,
		  const struct cprof_module *row, int root_fd)
{
	char *path = malloc(row->path_bytes + 1);
	struct profile_module *grown = path ? realloc(rows->modules, (rows->count + 1) * sizeof *grown)
					    : NULL;
	if (!grown) {
		free(path);
		return -ENOMEM;
	}
	rows->modules = grown;
	memcpy(path, reader->base + reader->geometry.strings_offset + row->path_offset, row->path_bytes);
	path[row->path_bytes] = '\0';
	struct profile_module module = {
		.id = id, .flags = row->flags, .path = path, .build_id_bytes = row->build_id_bytes};
	memcpy(module.build_id, row->build_id, row->build_id_bytes);
	take_addresses(&module, row);
	struct image_source source = {.path = path,
				      .root_fd = root_fd,
				      .pid = segment_reader_control(reader)->pid,
				      .device = row->device,
				      .inode = row->inode,
				      .build_id = module.build_id,
				      .build_id_bytes = module.build_id_bytes,
				      .flags = row->flags,
				      .bias = row->bias,
				      .start = row->image_start,
				      .text_start = row->text_start,
				      .text_end = row->text_end};
	module.image = image_open(&source);
	image_hold(module.image);
	memmove(grown + at + 1, grown + at, (rows->count - at) * sizeof *grown);
	grown[at] = module;
	rows->count++;
	return 0;
}

size_t module_rows_update(struct module_rows *rows, const struct segment_reader *reader, int root_fd)
{
	/* Acquire: rows below it exist. */
	uint32_t used = load_acquire(&segment_reader_control(reader)->modules_used);
	size_t before = rows->count;
	if (used > reader->geometry.module_count)
		used = reader->geometry.module_count;
	bool is_contiguous = true;
	for (uint32_t id = rows->scanned; id < used; id++) {
		struct cprof_module row;
		bool is_known = false;
		size_t at = position_of(rows, id, &is_known);
		bool is_published = is_known || load_row(reader, id, &row);
		if (is_published && !is_known && is_row_sound(reader, &row) &&
		    insert(rows, reader, id, at, &row, root_fd))
			break; /* no memory now: the next update tries again */
		is_contiguous = is_contiguous && is_published;
		if (is_contiguous)
			rows->scanned = id + 1;
	}
	return rows->count - before;
}

void module_rows_refresh(struct module_rows *rows, const struct segment_reader *reader)
{
	for (size_t i = 0; i < rows->count; i++) {
		struct cprof_module row;
		if (load_row(reader, rows->modules[i].id, &row) && is_row_sound(reader, &row))
			take_addresses(&rows->modules[i], &row);
	}
}

void module_rows_free(struct module_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++) {
		image_release(rows->modules[i].image);
		free((char *)rows->modules[i].path);
	}
	free(rows->modules);
	*rows = (struct module_rows){0};
}
