/* SPDX-License-Identifier: MIT */
/*
 * The CPU profile: a POSIX timer for each thread, on that thread's CPU clock, whose
 * SIGPROF goes to that thread.
 *
 * Context: any (async-signal-safe) unless noted.
 */
#ifndef PRELOAD_CPU_TIMER_H
#define PRELOAD_CPU_TIMER_H

#include <signal.h>
#include <stdbool.h>
#include <ucontext.h>

/*
 * Starts the calling thread's timer at the rate that is in force, unless it has one.
 * The first expiry is uniform in one period, so that short threads are sampled
 * without bias.  A timer that cannot be made is counted.
 */
void cpu_timer_start(void);

/* Deletes the calling thread's timer. */
void cpu_timer_stop(void);

/* The same, whether or not system calls are forbidden; the thread has a timer. */
void cpu_timer_delete(void);

/* In a forked child: timers are not inherited.  Starts one before anything else is known. */
void cpu_timer_start_in_child(void);

/* Whether this SIGPROF came from one of our timers, not from the program or a user. */
bool cpu_timer_is_ours(const siginfo_t *info);

/* Takes the sample that the signal stands for. */
void cpu_timer_sample(const siginfo_t *info, const ucontext_t *context);

#endif
