/* SPDX-License-Identifier: MIT */
/*
 * For how long a thread has slept: the kernel's scheduler notes when a thread last left
 * the CPU (se.exec_start in /proc/PID/task/TID/sched), by that CPU's clock.
 *
 * Context: one thread of a process that may be moved between CPUs.
 */
#ifndef COLLECTOR_THREAD_SINCE_H
#define COLLECTOR_THREAD_SINCE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define THREAD_SINCE_CPUS 512

/* What the clocks of the CPUs say, as far as they were asked.  All zero: none was. */
struct thread_since_clocks {
	int64_t behind_ns[THREAD_SINCE_CPUS]; /* CLOCK_MONOTONIC - the CPU's clock */
	uint8_t state[THREAD_SINCE_CPUS];     /* 0: not asked yet; 1: known; 2: not to be had */
	int64_t spent_ns;                     /* on asking */
};

/*
 * CLOCK_MONOTONIC when a thread that sleeps left its CPU, 0 if it cannot be told.
 * Exact to a tick of the scheduler.
 */
uint64_t thread_since_read(struct thread_since_clocks *clocks, pid_t pid, pid_t tid);

/* "se.exec_start : MILLISECONDS.NANOSECONDS" among other lines, in nanoseconds; 0: there is none. */
uint64_t thread_since_parse_sched(const char *text, size_t size);

/* The CPU that a thread was on last, from /proc/PID/task/TID/stat; -1: nonsense. */
int thread_since_parse_stat(const char *text, size_t size);

#endif
