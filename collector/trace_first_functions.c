/* SPDX-License-Identifier: MIT */
/*
 * A stack of a thread ends in functions that begin every thread; the one that these call
 * is the thread's own.
 *
 * Context: collector; see trace_first_functions.h.
 */
#include "trace_first_functions.h"

#include <string.h>

#include "cprof_compiler.h"

/* Where every thread begins: says nothing about this one. */
static bool is_start_of_any(const char *function)
{
	static const char *const beginnings[] = {"_start",  "__libc_start", "start_thread", "clone",
						 "__clone", "libc.so",      "libc-",        "libpthread"};
	for (size_t i = 0; i < ARRAY_LENGTH(beginnings); i++)
		if (strncmp(function, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	return false;
}

/* The thread's own outermost function in a stack, 0 if it does not show it. */
static uint32_t first_function(struct trace_symbols *symbols, uint32_t stack_id)
{
	uint32_t index = trace_symbols_stack(symbols, stack_id);
	struct trace_stack stack = symbols->stacks[index];
	uint32_t at = stack.count;
	while (at &&
	       is_start_of_any(trace_symbols_text(symbols, symbols->frames[stack.frames[at - 1]].function)))
		at--;
	if (at == 0 || at == stack.count)
		return 0;
	return symbols->frames[stack.frames[at - 1]].function;
}

static uint32_t stack_of_step(const struct trace_model *model, const struct trace_step *step)
{
	switch ((enum trace_step_kind)step->kind) {
	case TRACE_STEP_WAIT_BEGIN:
		return model->waits[step->index].stack;
	case TRACE_STEP_WAKE:
		return model->wakes[step->index].stack;
	case TRACE_STEP_EVENT:
		return model->events.items[step->index].stack;
	default:
		return 0;
	}
}

void trace_first_functions(const struct trace_model *model, struct trace_symbols *symbols,
			   uint32_t *out_functions)
{
	for (size_t i = 0; i < model->thread_count; i++)
		out_functions[i] = 0;
	for (size_t i = 0; i < model->step_count; i++) {
		const struct trace_step *step = &model->steps[i];
		uint32_t stack = stack_of_step(model, step);
		if (stack && !out_functions[step->thread])
			out_functions[step->thread] = first_function(symbols, stack);
	}
	for (size_t i = 0; i < model->thread_count; i++) {
		const char *name = model->threads[i].name;
		if (!out_functions[i])
			out_functions[i] = trace_symbols_string(symbols, name[0] ? name : "thread");
	}
}
