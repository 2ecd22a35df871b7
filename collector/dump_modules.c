/* SPDX-License-Identifier: MIT */
/*
 * The segment's rows are only for objects that a sample has met, and a row may have
 * been unloaded since; so the dump has modules of its own.
 *
 * Context: collector, main thread.
 */
#include "dump_modules.h"

#include <errno.h>
#include <string.h>

/* Whether a row describes this object. */
static bool is_row_of(const struct profile_module *row, const struct profile_module *module)
{
	return row->bias == module->bias && row->text_start == module->text_start &&
	       row->build_id_bytes == module->build_id_bytes &&
	       memcmp(row->build_id, module->build_id, module->build_id_bytes) == 0;
}

static const struct profile_module *row_of(const struct module_rows *rows,
					   const struct profile_module *module)
{
	for (size_t i = 0; rows && i < rows->count; i++)
		if (is_row_of(&rows->modules[i], module))
			return &rows->modules[i];
	return NULL;
}

/* The library has a row only once a sample has led through it; else its file's name tells. */
static bool is_cprof(const struct profile_module *row, const struct profile_module *module)
{
	const char *slash = strrchr(module->path, '/');
	return row ? row->flags & CPROF_MODULE_IS_CPROF : slash && strcmp(slash, "/libcprof.so") == 0;
}

static struct image *open_image(pid_t pid, const struct remote_object *object,
				const struct profile_module *module, int root_fd)
{
	struct image_source source = {.path = module->path,
				      .root_fd = root_fd,
				      .pid = (uint32_t)pid,
				      .device = object->device,
				      .inode = object->inode,
				      .build_id = module->build_id,
				      .build_id_bytes = module->build_id_bytes,
				      .flags = module->flags,
				      .bias = object->bias,
				      .start = object->start,
				      .text_start = object->text_start,
				      .text_end = object->text_end};
	return image_open(&source);
}

static int copy_rows(struct arena *arena, const struct module_rows *rows, struct dump_modules *out_modules)
{
	struct profile_module *items = arena_array(arena, rows->count, sizeof *items);
	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < rows->count; i++) {
		items[i] = rows->modules[i];
		items[i].path = arena_copy(arena, items[i].path, strlen(items[i].path));
		if (!items[i].path)
			return -ENOMEM;
	}
	*out_modules = (struct dump_modules){.items = items, .count = rows->count};
	return 0;
}

int dump_modules_build(struct arena *arena, const struct remote_objects *objects,
		       const struct module_rows *rows, int root_fd, struct dump_modules *out_modules)
{
	if (objects->count == 0 && rows && rows->count)
		return copy_rows(arena, rows, out_modules);
	size_t count = objects->count < CPROF_MODULE_NONE ? objects->count : CPROF_MODULE_NONE;
	struct profile_module *items = arena_array(arena, count ? count : 1, sizeof *items);
	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const struct remote_object *object = &objects->items[i];
		struct profile_module *module = &items[i];
		*module = (struct profile_module){
			.id = (uint32_t)i,
			.flags = (object->is_main ? CPROF_MODULE_IS_MAIN : 0) |
				 (object->is_vdso ? CPROF_MODULE_IS_VDSO : 0),
			.bias = object->bias,
			.text_start = object->text_start,
			.text_end = object->text_end,
			.text_offset = object->text_offset,
			.path = arena_copy(arena, object->path, strlen(object->path)),
			.build_id_bytes = object->build_id_bytes,
		};
		if (!module->path)
			return -ENOMEM;
		memcpy(module->build_id, object->build_id, object->build_id_bytes);
		const struct profile_module *row = row_of(rows, module);
		if (is_cprof(row, module))
			module->flags |= CPROF_MODULE_IS_CPROF;
		module->image = row && row->image ? row->image
						  : open_image(objects->pid, object, module, root_fd);
	}
	*out_modules = (struct dump_modules){.items = items, .count = count, .objects = objects};
	return 0;
}

/* Rows that were loaded later are behind those whose place they may have taken. */
static uint64_t frame_of_row(const struct dump_modules *modules, uint64_t address)
{
	for (size_t i = modules->count; i > 0; i--) {
		const struct profile_module *module = &modules->items[i - 1];
		if (address >= module->text_start && address < module->text_end)
			return cprof_frame(module->id, address - module->bias);
	}
	return cprof_frame(CPROF_MODULE_NONE, address);
}

uint64_t dump_modules_frame(const struct dump_modules *modules, uint64_t address, bool is_exact)
{
	uint64_t exact = is_exact ? CPROF_FRAME_EXACT : 0;
	if (!modules->objects)
		return frame_of_row(modules, address) | exact;
	const struct remote_object *object = remote_objects_find(modules->objects, address);
	size_t index = object ? (size_t)(object - modules->objects->items) : modules->count;
	if (index >= modules->count)
		return cprof_frame(CPROF_MODULE_NONE, address) | exact;
	return cprof_frame((uint32_t)index, address - object->bias) | exact;
}

const struct profile_module *dump_modules_of_frame(const struct profile_module *modules, size_t count,
						   uint64_t frame)
{
	uint32_t id = cprof_frame_module(frame);
	for (size_t low = 0, high = count; low < high;) {
		size_t middle = low + (high - low) / 2;
		if (modules[middle].id == id)
			return &modules[middle];
		if (modules[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

size_t dump_modules_lines(const struct profile_module *modules, size_t count, uint64_t frame,
			  struct image_line lines[IMAGE_LINES_MAX])
{
	const struct profile_module *module = dump_modules_of_frame(modules, count, frame);
	uint64_t offset = cprof_frame_offset(frame);
	if (!module || !module->image)
		return 0;
	/* A return address may already belong to the next line. */
	if (!(frame & CPROF_FRAME_EXACT) && offset > 0)
		offset--;
	return image_symbolise(module->image, offset, lines, IMAGE_LINES_MAX);
}
