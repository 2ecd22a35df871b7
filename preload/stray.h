/* SPDX-License-Identifier: MIT */
/*
 * Threads that pthread_create's trampoline did not see, because they were made inside
 * libc (SIGEV_THREAD, aio), or by a library that is bound to libc past us
 * (RTLD_DEEPBIND, dlmopen).  Nobody tells when they end, and the kernel keeps a dead
 * thread's timers: so they are remembered, and buried when the next of them comes.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_STRAY_H
#define PRELOAD_STRAY_H

#include "thread.h"

/* So many are remembered; more of them at once have neither a timer nor a slot. */
#define STRAYS_MAX 128

/* Room to remember the calling thread, after some of the dead were buried; -1: there is none. */
int stray_begin(uint32_t tid);

/* The room's thread has this slot (or NULL) and this timer (or -1). */
void stray_remember(int at, struct cprof_thread *slot, int32_t timer_id);

/* The calling thread is told of its end after all: it takes care of itself. */
void stray_leave(uint32_t tid);

/* In a forked child: none of them is here. */
void stray_forget(void);

#endif
