/* SPDX-License-Identifier: MIT */
/*
 * The strings and stacks that a Go trace's events refer to: noted as they are used, written
 * at the end.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_GO_TABLES_H
#define COLLECTOR_GO_TABLES_H

#include "go_events.h"
#include "trace_symbols.h"

/* Zero but for `symbols`, which are borrowed, is empty. */
struct go_tables {
	struct trace_symbols *symbols;
	struct u64_map strings; /* that are used */
	struct u64_map stacks;  /* likewise */
	bool is_failed;
};

/* The number of a text, of a stack; 0: an empty one. */
uint64_t go_tables_text(struct go_tables *tables, const char *text);
uint64_t go_tables_stack(struct go_tables *tables, uint32_t stack_id);

/* The number of a stack that consists of a thread's first function alone. */
uint64_t go_tables_first_function(uint32_t thread);

/* Adds all that was used; by thread the string of its first function. */
void go_tables_write(struct go_tables *tables, struct go_batch *batch, const uint32_t *first_functions,
		     uint32_t thread_count);

/* Keeps is_failed. */
void go_tables_fini(struct go_tables *tables);

#endif
