/* SPDX-License-Identifier: MIT */
/*
 * Beginning and end of threads.
 *
 * Context: init, or the thread concerned.
 */
#ifndef PRELOAD_INTERPOSE_THREAD_H
#define PRELOAD_INTERPOSE_THREAD_H

/* Context: init. */
void interpose_thread_load(void);

/* Makes the calling thread's end known to cprof. */
void interpose_thread_watch_end(void);

#endif
