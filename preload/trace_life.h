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

/* The calling thread was created by the thread `creator` at the stack `created_by`; both may be 0. */
void trace_life_thread_starts(uint32_t creator, uint32_t created_by);
/* It ends; `joined_as`: its pthread_t. */
void trace_life_thread_ends(uint64_t joined_as);
/* It has another name. */
void trace_life_thread_is_named(void);

void trace_life_forked(uint32_t child);
void trace_life_execs(const char *path);

#endif
