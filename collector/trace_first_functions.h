/* SPDX-License-Identifier: MIT */
/*
 * What each thread of a trace runs, by the function that it began with.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_TRACE_FIRST_FUNCTIONS_H
#define COLLECTOR_TRACE_FIRST_FUNCTIONS_H

#include "trace_model.h"
#include "trace_symbols.h"

/* By thread, a string of the symbols: the function, or, where no stack shows it, the thread's name. */
void trace_first_functions(const struct trace_model *model, struct trace_symbols *symbols,
			   uint32_t *out_functions);

#endif
