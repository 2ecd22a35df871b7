/* SPDX-License-Identifier: MIT */
/*
 * A stack is read from the segment when it is first asked for: its header once, into a
 * local, and its frames behind that.
 *
 * Context: collector; see trace_symbols.h.
 */
#include "trace_symbols.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pprof.h"
#include "segment_reader.h"

#define NO_LINES_NAME_BYTES 256

/* A doubled array; NULL: no memory, and the old one is as it was. */
static void *doubled(struct trace_symbols *symbols, void *items, size_t *capacity, size_t item_size)
{
	size_t wanted = *capacity ? 2 * *capacity : 256;
	void *grown = reallocarray(items, wanted, item_size);
	if (grown)
		*capacity = wanted;
	else
		symbols->tables.is_failed = true;
	return grown;
}

/* ---- frames --------------------------------------------------------------------------- */

static void add_frame(struct trace_symbols *symbols, uint32_t function, uint32_t file, uint32_t line)
{
	if (symbols->frame_count == symbols->frame_capacity) {
		struct trace_frame *grown = doubled(symbols, symbols->frames, &symbols->frame_capacity,
						    sizeof *grown);
		if (!grown)
			return;
		symbols->frames = grown;
	}
	symbols->frames[symbols->frame_count++] = (struct trace_frame){function, file, line};
}

/* Code that nobody names is named after its file. */
static uint32_t nameless(struct trace_symbols *symbols, const struct pprof_location *location)
{
	char name[NO_LINES_NAME_BYTES];
	const struct profile *profile = &symbols->profile;
	if (location->module < profile->module_count) {
		const struct profile_module *module = &profile->modules[location->module];
		const char *slash = strrchr(module->path, '/');
		snprintf(name, sizeof name, "%s+0x%" PRIx64, slash ? slash + 1 : module->path,
			 location->message.address - module->bias);
	} else {
		snprintf(name, sizeof name, "0x%" PRIx64, location->message.address);
	}
	return trace_symbols_string(symbols, name);
}

/* First frame of a location; the others follow.  The number of them depends on the location alone. */
static uint32_t frames_of_location(struct trace_symbols *symbols, uint64_t id, uint32_t *out_count)
{
	struct pprof_tables *tables = &symbols->tables;
	const struct pprof_location *location = tables->locations.items[id - 1];
	size_t lines = location->message.n_line;
	uint32_t first;
	*out_count = lines ? (uint32_t)lines : 1;
	if (u64_map_find(&symbols->frames_of, id, &first))
		return first;
	first = (uint32_t)symbols->frame_count;
	for (size_t i = 0; i < lines; i++) {
		const Perftools__Profiles__Line *line = location->message.line[i];
		const Perftools__Profiles__Function *function =
			tables->functions.items[line->function_id - 1];
		uint32_t name = (uint32_t)function->name;
		add_frame(symbols, name ? name : nameless(symbols, location), (uint32_t)function->filename,
			  (uint32_t)line->line);
	}
	if (lines == 0)
		add_frame(symbols, nameless(symbols, location), 0, 0);
	if (u64_map_put(&symbols->frames_of, id, first) < 0)
		tables->is_failed = true;
	return first;
}

/* ---- stacks ------------------------------------------------------------------------------ */

/* Copies a stack's frame words.  False: there is no such stack. */
static bool read_stack(const struct trace_input *input, uint32_t id, uint64_t *out_words, uint32_t *out_count,
		       uint32_t *out_flags)
{
	const struct segment_reader *reader = input->reader;
	if (id == 0 || !reader)
		return false;
	/* Acquire: the frames below it are there. */
	uint64_t used = load_acquire(&segment_reader_control(reader)->stacks_used);
	uint64_t words = reader->geometry.frames_bytes / sizeof(uint64_t);
	if (used < words)
		words = used + 1; /* ids count from 1, so the last stack ends one word further */
	if (id >= words)
		return false;
	const unsigned char *at = reader->base + reader->geometry.frames_offset + id * sizeof(uint64_t);
	struct cprof_stack header;
	memcpy(&header, at, sizeof header);
	if (header.frame_count > CPROF_STACK_FRAMES_MAX || header.frame_count > words - id - 1)
		return false;
	memcpy(out_words, at + sizeof header, header.frame_count * sizeof *out_words);
	*out_count = header.frame_count;
	*out_flags = header.flags;
	return true;
}

/* Whether a frame is of what cprof.h puts into the program: inlined, it is no function of its own. */
static bool is_of_api(const struct trace_symbols *symbols, uint32_t frame)
{
	static const char header[] = "/cprof.h";
	const char *file = trace_symbols_text(symbols, symbols->frames[frame].file);
	size_t size = strlen(file);
	return size >= sizeof header - 1 && strcmp(file + size - (sizeof header - 1), header) == 0;
}

static struct trace_stack make_stack(struct trace_symbols *symbols, uint32_t id)
{
	struct pprof_tables *tables = &symbols->tables;
	uint64_t words[CPROF_STACK_FRAMES_MAX];
	uint64_t locations[CPROF_STACK_FRAMES_MAX + 1];
	uint32_t word_count;
	uint32_t flags;
	uint32_t location_count = 0;
	size_t frame_count = 0;
	struct trace_stack stack = {0};
	if (!read_stack(symbols->input, id, words, &word_count, &flags))
		return stack;
	for (uint32_t i = 0; i < word_count; i++) {
		uint64_t location = pprof_tables_frame(tables, words[i]);
		if (location)
			locations[location_count++] = location;
	}
	if (location_count && (flags & (CPROF_STACK_TRUNCATED | CPROF_STACK_BROKEN)))
		locations[location_count++] = pprof_tables_synthetic(
			tables, flags & CPROF_STACK_TRUNCATED ? PPROF_TRUNCATED : PPROF_UNWIND_STOPPED);
	if (tables->is_failed)
		return stack;
	uint32_t more;
	for (uint32_t i = 0; i < location_count; i++, frame_count += more)
		frames_of_location(symbols, locations[i], &more);
	uint32_t *frames = arena_array(&tables->arena, frame_count, sizeof *frames);
	if (!frames || tables->is_failed) {
		tables->is_failed = true;
		return stack;
	}
	for (uint32_t i = 0; i < location_count; i++) {
		uint32_t first = frames_of_location(symbols, locations[i], &more);
		for (uint32_t j = 0; j < more; j++)
			if (stack.count || !is_of_api(symbols, first + j))
				frames[stack.count++] = first + j;
	}
	stack.frames = frames;
	return stack;
}

/* Returns its index, 0 if there is no memory. */
static uint32_t add_stack(struct trace_symbols *symbols, struct trace_stack stack)
{
	if (symbols->stack_count == symbols->stack_capacity) {
		struct trace_stack *grown = doubled(symbols, symbols->stacks, &symbols->stack_capacity,
						    sizeof *grown);
		if (!grown)
			return 0;
		symbols->stacks = grown;
	}
	symbols->stacks[symbols->stack_count] = stack;
	return (uint32_t)symbols->stack_count++;
}

uint32_t trace_symbols_stack(struct trace_symbols *symbols, uint32_t stack_id)
{
	uint32_t index = 0;
	if (stack_id == 0 || u64_map_find(&symbols->stack_of, stack_id, &index) || symbols->tables.is_failed)
		return index;
	struct trace_stack stack = make_stack(symbols, stack_id);
	if (stack.count)
		index = add_stack(symbols, stack);
	if (u64_map_put(&symbols->stack_of, stack_id, index) < 0)
		symbols->tables.is_failed = true;
	return index;
}

uint32_t trace_symbols_string(struct trace_symbols *symbols, const char *text)
{
	return (uint32_t)pprof_tables_string(&symbols->tables, text);
}

void trace_symbols_init(struct trace_symbols *symbols, const struct trace_input *input)
{
	*symbols = (struct trace_symbols){.input = input,
					  .profile = {.kind = PROFILE_CPU,
						      .modules = input->modules,
						      .module_count = input->module_count,
						      .jit = input->jit}};
	pprof_tables_init(&symbols->tables, &symbols->profile);
	add_stack(symbols, (struct trace_stack){0});
}

void trace_symbols_fini(struct trace_symbols *symbols)
{
	pprof_tables_fini(&symbols->tables);
	u64_map_fini(&symbols->stack_of);
	u64_map_fini(&symbols->frames_of);
	free(symbols->frames);
	free(symbols->stacks);
}
