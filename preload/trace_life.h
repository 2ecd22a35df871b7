/* SPDX-License-Identifier: MIT */
/*
 * The life of threads and of the process in the trace: beginnings, names and ends.
 * Each does nothing while no trace is taken.
 *
 * Context: any (async-signal-safe), on the thread concerned.
 */
#ifndef PRELOAD_TRACE_LIFE_H
#define PRELOAD_TRACE_LIFE_H

#include <signal.h>
#include <stdint.h>

#include "real.h"
#include "trace.h"
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
/* Another program is in a child, which is not known if it is 0. */
void trace_life_spawned(const struct trace_life_call *call, uint32_t child, const char *path);
/* In a vfork child it is its parent that has forked. */
void trace_life_execs(const struct trace_life_call *call, const char *path);
/* The same as execveat() names it. */
void trace_life_execs_at(const struct trace_life_call *call, int fd, const char *path, int flags);

/* About to send a signal, which may be its last: to `target`, as kill() takes it, or to a thread. */
void trace_life_signals(const struct trace_life_call *call, int number, int64_t target);
void trace_life_signals_thread(const struct trace_life_call *call, int number, uint64_t thread);
/* By its tid, in the process `pid`, which is not said if it is 0. */
void trace_life_signals_tid(const struct trace_life_call *call, int number, uint32_t tid, uint32_t pid);

/* The call has taken a signal that it waited for (number 0 or less: none), of which `info`, if any, tells. */
void trace_life_takes_signal(const struct trace_life_call *call, int number, const siginfo_t *info);

/* Tells the trace, if one is taken, by `note` of this call of an interposed function. */
#define TRACE_LIFE_NOTE(name, note, ...)                                                                 \
	do {                                                                                             \
		if (unlikely(trace_is_on())) {                                                           \
			struct trace_life_call call_ = {.function = (const void *)(uintptr_t)real.name}; \
			unwind_regs_of_caller(&call_.regs);                                              \
			note(&call_, __VA_ARGS__);                                                       \
		}                                                                                        \
	} while (0)

#endif
