/* SPDX-License-Identifier: MIT */
/*
 * profile -> gzip-compressed profile.proto, as `go tool pprof` wants it.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_PPROF_H
#define COLLECTOR_PPROF_H

#include "profile.h"

/*
 * Functions that stand for what is missing: at the root of a stack that was deeper
 * than CPROF_STACK_FRAMES_MAX, or whose walk ended early; and all of the stack of a
 * sample without frames.
 */
#define PPROF_TRUNCATED "[truncated]"
#define PPROF_UNWIND_STOPPED "[unwind stopped]"
#define PPROF_NO_STACK "[no stack]"

/* The function of code made at run time that nobody names. */
#define PPROF_NAMELESS "[anon]"

/*
 * Encodes, symbolising every frame.  On success 0, *out_bytes malloc'ed (the caller
 * frees) and *out_size; else -errno.  Frames of modules marked IS_CPROF are left out.
 * `tick` (may be NULL) is called every few milliseconds of work, so that a long
 * symbolisation does not look like a dead collector.
 */
int pprof_encode(const struct profile *profile, void (*tick)(void *), void *tick_arg,
		 unsigned char **out_bytes, size_t *out_size);

#endif
