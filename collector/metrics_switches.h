/* SPDX-License-Identifier: MIT */
/*
 * Context switches of a process.  The kernel tells them of each thread that lives, to
 * others than the process itself; a sum of these would fall when a thread ends.  So what
 * each thread has done since the last look is added up: what it does between the last
 * look and its end is missing.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_METRICS_SWITCHES_H
#define COLLECTOR_METRICS_SWITCHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* No more threads are looked at. */
#define METRICS_SWITCHES_THREADS_MAX 16384

struct metrics_switches_thread {
	pid_t tid;
	uint64_t voluntary, involuntary;
};

/* All zero: nobody has looked yet. */
struct metrics_switches {
	uint64_t voluntary, involuntary;         /* so far */
	struct metrics_switches_thread *threads; /* at the last look, by tid */
	size_t thread_count;
};

/* Looks at /proc/PID.  False: it cannot be seen from here; nothing has changed. */
bool metrics_switches_read(struct metrics_switches *switches, pid_t pid);

void metrics_switches_fini(struct metrics_switches *switches);

/* The parts.  Takes over `threads`, which are sorted by tid. */
void metrics_switches_add(struct metrics_switches *switches, struct metrics_switches_thread *threads,
			  size_t count);
bool metrics_switches_parse(const char *status, struct metrics_switches_thread *out_thread);

#endif
