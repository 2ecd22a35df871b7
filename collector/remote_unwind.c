/* SPDX-License-Identifier: MIT */
/*
 * libunwind falls back on guesses when there is no table for a pc (-UNW_ENOINFO), and
 * stops at any other error.  So our accessors never say -UNW_ENOINFO, and remember why
 * they refused.
 *
 * Context: see remote_unwind.h.
 */
#include "remote_unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <libunwind.h>
#include <stdlib.h>
#include <string.h>

#include "cprof_compiler.h"

#define TEXT_OF_(x) #x
#define TEXT_OF(x) TEXT_OF_(x)

/* libunwind 1.x, all of whose releases have this interface. */
#define LIBRARY_NAME "libunwind-" TEXT_OF(UNW_TARGET) ".so.8"

/* A frame takes 100 to 1000 reads; expressions that loop would take for ever. */
#define READS_PER_WALK 200000

/* Exported by libunwind for this use, but in none of its headers. */
typedef int search_table(unw_addr_space_t, unw_word_t, unw_dyn_info_t *, unw_proc_info_t *, int, void *);

/* What we call of it. */
struct library {
	__typeof__(unw_create_addr_space) *create;
	__typeof__(unw_destroy_addr_space) *destroy;
	__typeof__(unw_set_caching_policy) *set_caching;
	__typeof__(unw_init_remote) *init;
	__typeof__(unw_step) *step;
	__typeof__(unw_get_reg) *get_reg;
	__typeof__(unw_is_signal_frame) *is_signal_frame;
	search_table *search;
};

struct remote_unwind {
	struct remote_memory *memory;
	const struct remote_objects *objects;
	unw_addr_space_t space; /* NULL: no libunwind */
	/* Of the current walk. */
	const struct remote_regs *regs;
	enum remote_end refused; /* why an accessor gave an error; FIRST_FRAME: none did */
};

/* Kept for good once it was loaded. */
static struct library library;
static bool is_tried;
static bool is_loaded;

static bool load_library(void)
{
	static const struct {
		const char *name;
		size_t offset;
	} functions[] = {
		{TEXT_OF(unw_create_addr_space), offsetof(struct library, create)},
		{TEXT_OF(unw_destroy_addr_space), offsetof(struct library, destroy)},
		{TEXT_OF(unw_set_caching_policy), offsetof(struct library, set_caching)},
		{TEXT_OF(unw_init_remote), offsetof(struct library, init)},
		{TEXT_OF(unw_step), offsetof(struct library, step)},
		{TEXT_OF(unw_get_reg), offsetof(struct library, get_reg)},
		{TEXT_OF(unw_is_signal_frame), offsetof(struct library, is_signal_frame)},
		{TEXT_OF(UNW_OBJ(dwarf_search_unwind_table)), offsetof(struct library, search)},
	};
	if (is_tried)
		return is_loaded;
	is_tried = true;
	void *handle = dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL);
	is_loaded = handle != NULL;
	for (size_t i = 0; is_loaded && i < ARRAY_LENGTH(functions); i++) {
		void *found = dlsym(handle, functions[i].name);
		memcpy((char *)&library + functions[i].offset, &found, sizeof found);
		is_loaded = found != NULL;
	}
	return is_loaded;
}

/* ---- accessors --------------------------------------------------------------------------------- */

static int refuse(struct remote_unwind *unwind, enum remote_end why)
{
	unwind->refused = why;
	return -UNW_EUNSPEC;
}

static int find_proc_info(unw_addr_space_t space, unw_word_t pc, unw_proc_info_t *out_info,
			  int need_unwind_info, void *argument)
{
	struct remote_unwind *unwind = argument;
	const struct remote_object *object = remote_objects_find(unwind->objects, pc);
	if (!object || !object->table_bytes)
		return refuse(unwind, REMOTE_END_NO_TABLE);
	unw_dyn_info_t info = {
		.format = UNW_INFO_FORMAT_REMOTE_TABLE,
		.start_ip = object->start,
		.end_ip = object->end,
		.u.rti = {.segbase = object->table_base,
			  .table_data = object->table_start,
			  .table_len = object->table_bytes / sizeof(unw_word_t)},
	};
	int error = library.search(space, pc, &info, out_info, need_unwind_info, argument);
	return error == -UNW_ENOINFO ? refuse(unwind, REMOTE_END_NO_TABLE) : error;
}

static void put_unwind_info(unw_addr_space_t space, unw_proc_info_t *info, void *argument)
{
	(void)space, (void)info, (void)argument;
}

/* "There are no dynamic procedures" is the one thing that this error means here. */
static int get_dyn_info_list(unw_addr_space_t space, unw_word_t *address, void *argument)
{
	(void)space, (void)address, (void)argument;
	return -UNW_ENOINFO;
}

static int access_memory(unw_addr_space_t space, unw_word_t address, unw_word_t *value, int is_write,
			 void *argument)
{
	struct remote_unwind *unwind = argument;
	(void)space;
	if (is_write)
		return -UNW_EINVAL;
	bool is_constant = remote_objects_find(unwind->objects, address) != NULL;
	int error = remote_memory_read(unwind->memory, address, value, sizeof *value, is_constant);
	if (error)
		return refuse(unwind, error == -ELOOP ? REMOTE_END_BUDGET : REMOTE_END_MEMORY);
	return 0;
}

static int access_register(unw_addr_space_t space, unw_regnum_t reg, unw_word_t *value, int is_write,
			   void *argument)
{
	struct remote_unwind *unwind = argument;
	(void)space;
	if (is_write)
		return -UNW_EINVAL;
	if (reg < 0 || reg >= REMOTE_REG_COUNT || !(unwind->regs->known & UINT32_C(1) << reg))
		return refuse(unwind, REMOTE_END_UNKNOWN_REGISTER);
	*value = unwind->regs->values[reg];
	return 0;
}

static int access_float(unw_addr_space_t space, unw_regnum_t reg, unw_fpreg_t *value, int is_write,
			void *argument)
{
	(void)space, (void)reg, (void)value, (void)is_write, (void)argument;
	return -UNW_EBADREG;
}

static int resume(unw_addr_space_t space, unw_cursor_t *cursor, void *argument)
{
	(void)space, (void)cursor, (void)argument;
	return -UNW_EINVAL;
}

/* ---- walking ----------------------------------------------------------------------------------- */

struct remote_unwind *remote_unwind_open(struct remote_memory *memory, const struct remote_objects *objects)
{
	static unw_accessors_t accessors = {
		.find_proc_info = find_proc_info,
		.put_unwind_info = put_unwind_info,
		.get_dyn_info_list_addr = get_dyn_info_list,
		.access_mem = access_memory,
		.access_reg = access_register,
		.access_fpreg = access_float,
		.resume = resume,
	};
	struct remote_unwind *unwind = calloc(1, sizeof *unwind);
	if (!unwind)
		return NULL;
	unwind->memory = memory;
	unwind->objects = objects;
	if (load_library())
		unwind->space = library.create(&accessors, 0);
	/* Its cache does not tell an interrupted instruction from an equal return address. */
	if (unwind->space)
		library.set_caching(unwind->space, UNW_CACHE_NONE);
	return unwind;
}

/* Goes on from the leaf, which is written already. */
static enum remote_end walk(struct remote_unwind *unwind, uint64_t *frames, bool *is_exact,
			    uint32_t frames_max, uint32_t *count)
{
	unw_cursor_t cursor;
	if (library.init(&cursor, unwind->space, unwind) < 0)
		return REMOTE_END_MEMORY;
	for (;;) {
		unw_word_t pc = 0;
		unwind->refused = REMOTE_END_FIRST_FRAME;
		int stepped = library.step(&cursor);
		if (stepped < 0)
			return unwind->refused != REMOTE_END_FIRST_FRAME ? unwind->refused
									 : REMOTE_END_NO_TABLE;
		if (stepped == 0 || library.get_reg(&cursor, UNW_REG_IP, &pc) < 0 || pc == 0)
			return REMOTE_END_FIRST_FRAME;
		if (!remote_objects_is_code(unwind->objects, pc))
			return REMOTE_END_NOT_CODE;
		if (*count == frames_max)
			return REMOTE_END_FRAMES_MAX;
		/* It tells of the frame that was left: its caller was interrupted, and it was not called. */
		bool was_signal = library.is_signal_frame(&cursor) > 0;
		if (was_signal)
			is_exact[*count - 1] = true;
		is_exact[*count] = was_signal;
		frames[(*count)++] = pc;
	}
}

enum remote_end remote_unwind_walk(struct remote_unwind *unwind, const struct remote_regs *regs,
				   uint64_t *frames, bool *is_exact, uint32_t frames_max, uint32_t *out_count)
{
	struct remote_regs start = *regs;
	uint64_t pc = start.values[REMOTE_REG_PC];
	*out_count = 0;
	if (frames_max == 0)
		return REMOTE_END_FRAMES_MAX;
	frames[0] = pc;
	is_exact[0] = !start.pc_is_return_address;
	*out_count = 1;
	if (!unwind->space)
		return REMOTE_END_NO_UNWINDER;
	if (!remote_objects_is_code(unwind->objects, pc))
		return REMOTE_END_NOT_CODE;
	/* libunwind takes the first pc for an interrupted one. */
	if (start.pc_is_return_address)
		start.values[REMOTE_REG_PC] = pc - 1;
	unwind->regs = &start;
	unwind->memory->budget = READS_PER_WALK;
	enum remote_end end = walk(unwind, frames, is_exact, frames_max, out_count);
	unwind->regs = NULL;
	return end;
}

void remote_unwind_close(struct remote_unwind *unwind)
{
	if (unwind && unwind->space)
		library.destroy(unwind->space);
	free(unwind);
}
