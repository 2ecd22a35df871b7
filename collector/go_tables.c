/* SPDX-License-Identifier: MIT */
/*
 * Strings and stacks keep the numbers that the symbols gave them.
 *
 * Context: collector; see go_tables.h.
 */
#include "go_tables.h"

/* Of all arguments of an event; readers accept 2048. */
#define STACK_BYTES_MAX 2000
#define FRAME_BYTES_MAX 40

/* Numbers of first functions' stacks and frames: above all others. */
#define FIRST_FUNCTIONS UINT32_C(0x40000000)

static void use(struct go_tables *tables, struct u64_map *map, uint64_t id)
{
	if (id && u64_map_put(map, id, 0) < 0)
		tables->is_failed = true;
}

uint64_t go_tables_text(struct go_tables *tables, const char *text)
{
	uint32_t string = trace_symbols_string(tables->symbols, text);
	use(tables, &tables->strings, string);
	return string;
}

uint64_t go_tables_stack(struct go_tables *tables, uint32_t stack_id)
{
	uint32_t stack = trace_symbols_stack(tables->symbols, stack_id);
	use(tables, &tables->stacks, stack);
	return stack;
}

uint64_t go_tables_first_function(uint32_t thread)
{
	return FIRST_FUNCTIONS + (uint64_t)thread;
}

/* A stack, leaf first, as much of it as an event may hold. */
static void add_stack(struct go_tables *tables, struct go_batch *batch, uint64_t id,
		      const struct trace_stack *stack)
{
	const struct trace_symbols *symbols = tables->symbols;
	struct byte_buffer frames = {0};
	struct byte_buffer body = {0};
	uint32_t count = 0;
	for (; count < stack->count && frames.size < STACK_BYTES_MAX - 2 * FRAME_BYTES_MAX; count++) {
		const struct trace_frame *frame = &symbols->frames[stack->frames[count]];
		use(tables, &tables->strings, frame->function);
		use(tables, &tables->strings, frame->file);
		/* Readers know a frame by its pc, and a pc may stand for several inlined functions. */
		byte_buffer_varint(&frames, (uint64_t)stack->frames[count] + 1);
		byte_buffer_varint(&frames, frame->function);
		byte_buffer_varint(&frames, frame->file);
		byte_buffer_varint(&frames, frame->line);
	}
	byte_buffer_varint(&body, id);
	byte_buffer_varint(&body, count);
	byte_buffer_add(&body, frames.bytes, frames.size);
	byte_buffer_byte(&batch->bytes, (unsigned char)(GO_STACK | 3u << 6));
	byte_buffer_varint(&batch->bytes, body.size);
	byte_buffer_add(&batch->bytes, body.bytes, body.size);
	tables->is_failed |= frames.is_failed || body.is_failed;
	byte_buffer_free(&frames);
	byte_buffer_free(&body);
}

void go_tables_write(struct go_tables *tables, struct go_batch *batch, const uint32_t *first_functions,
		     uint32_t thread_count)
{
	const struct trace_symbols *symbols = tables->symbols;
	uint32_t ignored;
	for (uint32_t i = 0; i < thread_count; i++) {
		uint64_t id = go_tables_first_function(i);
		use(tables, &tables->strings, first_functions[i]);
		go_batch_untimed(batch, GO_STACK, GO_ARGUMENTS(id, 1, id, first_functions[i], 0, 0));
	}
	for (uint32_t i = 1; i < symbols->stack_count; i++)
		if (u64_map_find(&tables->stacks, i, &ignored))
			add_stack(tables, batch, i, &symbols->stacks[i]);
	for (uint32_t i = 1; i < symbols->tables.strings.count; i++)
		if (u64_map_find(&tables->strings, i, &ignored))
			go_batch_string(batch, i, trace_symbols_text(symbols, i));
}

void go_tables_fini(struct go_tables *tables)
{
	u64_map_fini(&tables->strings);
	u64_map_fini(&tables->stacks);
}
