/* SPDX-License-Identifier: MIT */
/*
 * Raw system calls: they return -errno and leave errno alone, so that they can be
 * made in the middle of the program's own calls.  The libc wrappers are not used:
 * some of them are interposed by us or by others, are cancellation points, or
 * touch thread state.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_SYS_H
#define PRELOAD_SYS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#include "sys_x86_64.h"
#else
#error "cprof has no system call sequence for this architecture"
#endif

static inline long sys_call0(long nr)
{
	return sys_call6(nr, 0, 0, 0, 0, 0, 0);
}
static inline long sys_call1(long nr, long a)
{
	return sys_call6(nr, a, 0, 0, 0, 0, 0);
}
static inline long sys_call2(long nr, long a, long b)
{
	return sys_call6(nr, a, b, 0, 0, 0, 0);
}
static inline long sys_call3(long nr, long a, long b, long c)
{
	return sys_call6(nr, a, b, c, 0, 0, 0);
}
static inline long sys_call4(long nr, long a, long b, long c, long d)
{
	return sys_call6(nr, a, b, c, d, 0, 0);
}
static inline long sys_call5(long nr, long a, long b, long c, long d, long e)
{
	return sys_call6(nr, a, b, c, d, e, 0);
}

static inline bool sys_is_error(long result)
{
	return (unsigned long)result > -4096UL;
}

#endif
