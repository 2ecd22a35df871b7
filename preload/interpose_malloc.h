/* SPDX-License-Identifier: MIT */
/*
 * What the interposers of all allocation interfaces (C, C++, jemalloc's) share.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_INTERPOSE_MALLOC_H
#define PRELOAD_INTERPOSE_MALLOC_H

#include "cprof_compiler.h"
#include "live.h"
#include "real.h"
#include "unwind.h"

/*
 * After sampler_take() said true and the real function gave `block` (NULL: nothing
 * happens): decides, and if so records the allocation at the stack of `regs`.
 */
void heap_record(const void *block, size_t size, const struct unwind_regs *regs);

/* The same for a call whose time was taken, see malloc_time.h. */
void heap_record_timed(const void *block, size_t size, const struct unwind_regs *regs, uint64_t duration_ns);

/*
 * Finds out whether an allocation function gets its memory from another one that we
 * interpose, which then counts: what heap_record() is told on this thread between begin
 * and end is noted, not recorded.  begin: false if another thread is finding out.
 * end: true if `block` was noted.
 */
bool heap_probe_begin(uint64_t *out_countdown);
bool heap_probe_end(const void *block, uint64_t countdown);

/* Between begin and end: whether anything was noted so far. */
bool heap_probe_has_noted(void);

/* At load: whether the program's malloc and realloc are ours.  Until then they are taken for somebody else's. */
void heap_set_first(bool first);
bool heap_is_first(void);

/* In a forked child: no probe is under way. */
void heap_probe_forget(void);

/* Before the real free: takes the block out of the live table if it is there. */
void heap_forget(const void *block);

/* live_detach(), when the table is this process's own. */
struct live_entry heap_detach(const void *block);

/* live_drop(): the block is no more. */
void heap_drop(struct live_entry entry, const void *block);

#endif
