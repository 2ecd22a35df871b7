/* SPDX-License-Identifier: MIT */
/*
 * The stacks of a trace: ids go in, lists of interned frames come out, one frame for each
 * function, inlined ones too.  Strings and what is known of code come from the tables that
 * make pprof files.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_TRACE_SYMBOLS_H
#define COLLECTOR_TRACE_SYMBOLS_H

#include "pprof_tables.h"
#include "trace.h"

struct trace_frame {
	uint32_t function; /* string; never the empty one */
	uint32_t file;     /* string, may be the empty one: 0 */
	uint32_t line;     /* 0: not known */
};

struct trace_stack {
	const uint32_t *frames; /* leaf first */
	uint32_t count;
};

struct trace_symbols {
	const struct trace_input *input;
	struct profile profile; /* what the tables know of modules */
	struct pprof_tables tables;
	struct trace_frame *frames;
	size_t frame_count, frame_capacity;
	struct trace_stack *stacks; /* the first is the empty one */
	size_t stack_count, stack_capacity;
	struct u64_map stack_of;  /* stack id -> index into stacks */
	struct u64_map frames_of; /* location id -> its first frame */
};

/* `input` is borrowed until _fini.  Failures are remembered in tables.is_failed. */
void trace_symbols_init(struct trace_symbols *symbols, const struct trace_input *input);
void trace_symbols_fini(struct trace_symbols *symbols);

/* Index of a stack in `stacks`, 0 if it has no frames. */
uint32_t trace_symbols_stack(struct trace_symbols *symbols, uint32_t stack_id);

/* The id of a text among the strings, for names that are no code's. */
uint32_t trace_symbols_string(struct trace_symbols *symbols, const char *text);

static inline const char *trace_symbols_text(const struct trace_symbols *symbols, uint32_t string)
{
	return symbols->tables.strings.items[string];
}

#endif
