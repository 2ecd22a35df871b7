/* SPDX-License-Identifier: MIT */
/*
 * What this process is to cprof, across fork.
 *
 * The state word lies in a private page with MADV_WIPEONFORK, so a forked child,
 * however it was forked, finds 0 there and knows that the mapped segment is its
 * parent's.  A vfork child shares the page and rightly records for its parent.
 *
 *      at load and in a forked child
 *                  |
 *              UNKNOWN --process_begin(), one winner--> STARTING --> RECORDING
 *                                                           |
 *                                                           +------> OFF
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_PROCESS_H
#define PRELOAD_PROCESS_H

#include "cprof_atomic.h"
#include "cprof_compiler.h"

#include <stddef.h>

enum process_state { PROCESS_UNKNOWN = 0, PROCESS_STARTING = 1, PROCESS_RECORDING = 2, PROCESS_OFF = 3 };

/* The state word.  Points into the library until process_init() has the page. */
extern atomic_u32 *process_word __attribute__((visibility("hidden")));

/* True while events of this process may be recorded in `segment`. */
static ALWAYS_INLINE bool process_is_recording(void)
{
	/* Acquire: pairs with the release that made it RECORDING, after the segment was mapped. */
	return load_acquire(process_word) == PROCESS_RECORDING;
}

static ALWAYS_INLINE bool process_is_starting(void)
{
	return load_relaxed(process_word) == PROCESS_STARTING; /* a state of this very thread, or nearly so */
}

static ALWAYS_INLINE bool process_is_off(void)
{
	return load_relaxed(process_word) == PROCESS_OFF; /* final: nothing was set up before it */
}

/* Who this process is, said by fork's child branch: so its vfork children are known for what they are. */
void process_set_forked(void);

/*
 * Whether a forked child got a CPU timer before it registered: said by fork's child
 * branch, and forgotten by the next fork like the state itself.
 */
void process_set_armed(void);
bool process_is_armed(void);

/* True in a recording process and in a forked child that has not registered yet. */
bool process_may_record(void);

/* Allocations that came before the process was STARTING: counted in the segment once there is one. */
extern atomic_u32 process_early_allocations;

/*
 * The same as process_is_recording(), after having tried to start: the first call in a process image or in a
 * forked child sets everything up.
 */
bool process_ensure_recording(void);

/* True in the process that registered, false in a vfork child running on its memory. */
bool process_is_self(void);

/*
 * True in a vfork child: what it does to itself must not be noted in its parent's memory.  Not
 * known of the children of a process that raw clone() made, before that is recording.
 */
bool process_is_vfork_child(void);

/*
 * The process is about to end by itself (exit, _exit, quick_exit): the first process of
 * a tree waits for its files.  Does nothing in a vfork child.
 */
void process_finish(void);

/*
 * The process is about to give up means that a registration needs (its uid, its root
 * directory, system calls): registers a forked child that has not yet.
 */
void process_before_confinement(void);

/* From here on the program's own seccomp filter decides over every system call of ours: none is made. */
void process_forbid_syscalls(void);
extern atomic_u32 process_is_confined __attribute__((visibility("hidden"))); /* set by that alone */
static ALWAYS_INLINE bool process_may_call(void)
{
	return !load_relaxed(&process_is_confined); /* set by an earlier call of this process */
}

/*
 * At load and in a forked child: who this is, whether it is the first process of its
 * tree, and whether a collector has its segment.
 */
void process_set_registered(uint32_t pid, bool is_first, bool has_collector);

/* Whether a collector got its segment; it may be dead by now. */
bool process_has_collector(void);

/* This process's collector died: its segment goes to another one. */
void process_register_again(int segment_fd);

/* Context: init.  The library was loaded: called by the constructor, or by what needs it earlier. */
void process_load(void);

#endif
