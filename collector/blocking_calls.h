/* SPDX-License-Identifier: MIT */
/*
 * The system calls that threads sleep in: their names, and which of them go on as if
 * nothing had been when a thread is stopped by ptrace in the middle and continued.
 *
 * Context: any process of the collector.
 */
#ifndef COLLECTOR_BLOCKING_CALLS_H
#define COLLECTOR_BLOCKING_CALLS_H

#include <stdbool.h>

#include "thread_state.h"

/* NULL: not one of those that are known to sleep. */
const char *blocking_calls_name(int64_t number);

/* What becomes of a call whose thread is stopped for a moment, without a signal. */
enum blocking_restart {
	BLOCKING_MAY_END,      /* with EINTR, or with a part of what it was to do */
	BLOCKING_RESTARTS,     /* the kernel restarts it by itself, with the time that is left */
	BLOCKING_BY_DESCRIPTOR /* it depends on the file or socket that it reads from, its first argument */
};

enum blocking_restart blocking_calls_restart(const struct thread_call *call);

/* The same with a look at the descriptor: whether a call of process `pid` is certain to go on. */
bool blocking_calls_restarts(pid_t pid, const struct thread_call *call);

#endif
