/* SPDX-License-Identifier: MIT */
/*
 * io_uring_enter() that waits.  The kernel runs the thread's CPU timers in this wait, so our
 * SIGPROF may end it with EINTR, and no SA_RESTART helps: a program that handles no
 * signals would meet an error that it cannot have without us.  So the handler lets such a
 * call be made again.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_URING_WAIT_H
#define PRELOAD_URING_WAIT_H

#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

/* Before the program sets `action`. */
void uring_wait_note_action(int number, const struct sigaction *action);

/*
 * In the handler of one of our timers' signals, behind a call that gave -EINTR: if all that it did was
 * to end such a wait, the wait goes on after the handler.  Bit n-1 of `own_signals`: signal n has a
 * handler of ours.
 */
void uring_wait_resume(ucontext_t *context, uint64_t own_signals);

#endif
