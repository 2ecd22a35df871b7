/* SPDX-License-Identifier: MIT */
/*
 * Each thread's signal mask, as the program sees it and as it is: SIGPROF stays open
 * for our timers while the program believes it blocked.
 *
 * A program that blocks SIGPROF for a purpose (sigwait, signalfd, sigpending) is seen by
 * the first SIGPROF of its own that finds a thread which it believes closed.  That
 * thread then really closes and its timer ends; the signal is sent again, and moves on
 * until it meets an open thread or none.
 *
 * A program may also set its mask by a system call of its own, past us (Go's runtime does,
 * in threads that it starts with all signals blocked).  That shows by a witness, another signal
 * that was blocked along with SIGPROF: where it is open, so is SIGPROF.
 *
 * Context: any (async-signal-safe), the interposed functions as the real ones.
 */
#ifndef PRELOAD_SIGNAL_MASK_H
#define PRELOAD_SIGNAL_MASK_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

/* The witness in a mask that the program gives: 0 if SIGPROF is open there, itself if nothing else is blocked. */
uint8_t signal_mask_witness_of(const sigset_t *set);

/* Whether the calling thread, whose mask the kernel has as `actual`, believes SIGPROF blocked. */
bool signal_mask_is_closed(const sigset_t *actual);

/* Opens SIGPROF in the calling thread, unless the program has it to itself, and notes if it was blocked. */
void signal_mask_open_sigprof(void);

/* In the handler, for a signal of the program's own in a thread that it believes closed. */
void signal_mask_give_up_sigprof(siginfo_t *info, ucontext_t *context);

#endif
