/* SPDX-License-Identifier: MIT */
/*
 * The unwinder: from a register set to the list of frames, by the objects' call
 * frame information (.eh_frame), without allocating, locking or calling anything
 * that does.  Rules are cached by pc, so a warm walk costs a few nanoseconds a frame.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_UNWIND_H
#define PRELOAD_UNWIND_H

#include "cprof_shm.h"

#include <stddef.h>
#include <ucontext.h>

/*
 * Where a walk starts.  `pc_is_exact`: pc is an interrupted instruction (signal
 * context), not a return address.  On x86-64 a rule may need rbx too; 0 if not known
 * (such a walk ends there, marked broken).  Rules of hand-written assembly may need
 * any register in the interrupted frame: they are taken from `context`, if there is one.
 */
struct unwind_regs {
	uint64_t pc;
	uint64_t sp;
	uint64_t fp;
	uint64_t bx;
	bool pc_is_exact;
	bool bx_is_known;
	const ucontext_t *context; /* lives as long as the walk; NULL if not known */
};

/* Readable stack memory of the thread, [low, high); both 0 if not known. */
struct unwind_bounds {
	uint64_t low;
	uint64_t high;
};

/* The registers that a signal handler's third argument holds. */
void unwind_regs_from_context(const ucontext_t *context, struct unwind_regs *out_regs);

/* The registers of the caller of a function that keeps a frame pointer, which is `frame`, as a return address. */
static inline __attribute__((always_inline)) void unwind_regs_of_frame(const uint64_t *frame,
								       struct unwind_regs *out_regs)
{
	out_regs->fp = frame[0];
	out_regs->pc = frame[1];
	out_regs->sp = (uint64_t)(frame + 2);
	out_regs->bx = 0;
	out_regs->pc_is_exact = false;
	out_regs->bx_is_known = false;
	out_regs->context = NULL;
}

/* Of the function that this is inlined into: all of preload/ is compiled with -fno-omit-frame-pointer. */
static inline __attribute__((always_inline)) void unwind_regs_of_caller(struct unwind_regs *out_regs)
{
	unwind_regs_of_frame((const uint64_t *)__builtin_frame_address(0), out_regs);
}

/*
 * Walks from `regs`, writes at most `frames_max` frames, leaf first, as
 * cprof_frame() words, and returns their number (0 only if pc is 0).  *out_flags gets
 * CPROF_STACK_* flags.  Frames inside libcprof.so itself are not written.
 * Never faults: memory outside `bounds` (and all of it when they are not known) is
 * read by process_vm_readv, or not at all once unwind_forbid_syscalls() was called.
 */
uint32_t unwind_walk(const struct unwind_regs *regs, const struct unwind_bounds *bounds, uint64_t *frames,
		     uint32_t frames_max, uint16_t *out_flags);

/* Called once before the program enters a seccomp filter. */
void unwind_forbid_syscalls(void);

#endif
