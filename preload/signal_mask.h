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
 * Context: any (async-signal-safe), the interposed functions as the real ones.
 */
#ifndef PRELOAD_SIGNAL_MASK_H
#define PRELOAD_SIGNAL_MASK_H

#include <signal.h>
#include <ucontext.h>

/* Opens SIGPROF in the calling thread, unless the program has it to itself, and notes if it was blocked. */
void signal_mask_open_sigprof(void);

/* In the handler, for a signal of the program's own in a thread that it believes closed. */
void signal_mask_give_up_sigprof(siginfo_t *info, ucontext_t *context);

#endif
