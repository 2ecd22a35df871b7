/* SPDX-License-Identifier: MIT */
/*
 * The life of threads and of the process in the trace: beginnings, names and ends.
 * Each does nothing while no trace is taken.
 *
 * Context: any (async-signal-safe), on the thread concerned.
 */
#ifndef PRELOAD_TRACE_LIFE_H
#define PRELOAD_TRACE_LIFE_H

#include <stdint.h>

#include "unwind.h"

/* The program's call: of `function`, with `regs` as its caller's registers. */
struct trace_life_call {
	const void *function;
	struct unwind_regs regs;
};

/* The calling thread was created by the thread `creator` at the stack `created_by`; both may be 0. */
void trace_life_thread_starts(uint32_t creator, uint32_t created_by);
/* It ends; `joined_as`: its pthread_t. */
void trace_life_thread_ends(uint64_t joined_as);
/* It has another name. */
void trace_life_thread_is_named(void);

void trace_life_forked(const struct trace_life_call *call, uint32_t child);
/* In a vfork child it is its parent that has forked. */
void trace_life_execs(const struct trace_life_call *call, const char *path);

/* About to send a signal, which may be its last: to `target`, as kill() takes it, or to a thread. */
void trace_life_signals(const struct trace_life_call *call, int number, int64_t target);
void trace_life_signals_thread(const struct trace_life_call *call, int number, uint64_t thread);

#endif
