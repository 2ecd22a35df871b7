/* SPDX-License-Identifier: MIT */
/*
 * What the hostile programs share.  Each is one way to hurt a preloaded profiler, and is
 * run plain and under cprof: its lines, its status and the errno values in them must be
 * the same.  "owes N" tells the runner that hostile_allocates() was asked for N blocks
 * (the sum over all processes is what the heap profiles must hold, at rate 1), "burnt"
 * that hostile_burns() used enough CPU time to be seen.  A program that cannot run on
 * this machine ends with 77.
 *
 * Context: test programs.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "victim.h"

#define CANNOT_RUN 77
#define BLOCK_BYTES 100

/* Kept: nobody frees them. */
static FRAME void hostile_allocates(int blocks)
{
	static __thread void *volatile kept;
	for (int i = 0; i < blocks; i++) {
		void **block = (void **)malloc(BLOCK_BYTES);
		if (block)
			*block = kept;
		kept = block;
	}
	NO_TAIL_CALL();
}

static FRAME void hostile_burns(int ms)
{
	spin_cpu_ns((int64_t)ms * 1000000);
	NO_TAIL_CALL();
}

/* Whole lines by one system call each: processes and threads may print together. */
static __attribute__((format(printf, 1, 2), unused)) void say(const char *format, ...)
{
	char line[512];
	const int error = errno;
	__builtin_va_list arguments;
	__builtin_va_start(arguments, format);
	const int length = vsnprintf(line, sizeof line, format, arguments);
	__builtin_va_end(arguments);
	if (length > 0 && write(STDOUT_FILENO, line, (size_t)length) < 0)
		_exit(99);
	errno = error;
}

/* Allocates, works, and says so. */
static __attribute__((unused)) void hostile_works(void)
{
	hostile_allocates(200);
	say("owes 200\n");
	hostile_burns(60);
	say("burnt\n");
}

/* The name of what a call that gave `result` left in errno, "ok" after success. */
static inline const char *outcome(long result)
{
	return result == -1 ? strerrorname_np(errno) : "ok";
}

static inline int argument(int argc, char **argv, int at, int otherwise)
{
	return argc > at ? atoi(argv[at]) : otherwise;
}

#endif
