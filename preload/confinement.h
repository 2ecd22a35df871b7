/* SPDX-License-Identifier: MIT */
/*
 * The program is about to enter a seccomp mode, in which a system call of ours, and even the return
 * from our signal handler, may kill it.
 *
 * Context: as the interposed functions.
 */
#ifndef PRELOAD_CONFINEMENT_H
#define PRELOAD_CONFINEMENT_H

#include <stdint.h>

/* Of the calling thread, or of all threads (SECCOMP_FILTER_FLAG_TSYNC). */
enum confinement_reach { CONFINEMENT_OF_THREAD, CONFINEMENT_OF_ALL };

/* `filter`: the struct sock_fprog's address; 0: the strict mode, which lets handlers return. */
void confinement_enter(uint64_t filter, enum confinement_reach reach);

#endif
