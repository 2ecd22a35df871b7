/* SPDX-License-Identifier: MIT */
/*
 * The flight recorder of the cprof that a benchmark program runs under, turned on and off while it
 * works: what differs from one process to the next is then on both sides.  The same of the
 * library that only does what cannot be left out (interposer_trace.c).
 *
 * Context: benchmarks.
 */
#ifndef TOOLS_BENCH_RECORDER_H
#define TOOLS_BENCH_RECORDER_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cprof_shm.h"

/* Whichever there is; without either, nothing is turned on, and what is measured is chance. */
struct recorder {
	struct cprof_control *control; /* NULL: this is not cprof */
	uint32_t bits;                 /* of its trace, at the start */
	int *least;                    /* interposer_trace's switch, or NULL */
};

static inline struct recorder recorder_find(void)
{
	struct recorder found = {.least = dlsym(RTLD_DEFAULT, "interposer_trace_is_on")};
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[4352], access[8];
	unsigned long start, offset;
	while (maps && fgets(line, sizeof line, maps)) {
		if (sscanf(line, "%lx-%*x %7s %lx", &start, access, &offset) != 3 ||
		    strcmp(access, "rw-s") != 0 || offset != 0 || !strstr(line, "cprof"))
			continue;
		struct cprof_control *control = (struct cprof_control *)start;
		if (control->magic != CPROF_MAGIC)
			continue;
		found.control = control;
		found.bits = load_relaxed(&control->trace); /* a setting */
		break;
	}
	if (maps)
		fclose(maps);
	return found;
}

/* As the collector does when it is asked to. */
static inline void recorder_turn(const struct recorder *recorder, bool is_on)
{
	if (recorder->least)
		*(volatile int *)recorder->least = is_on;
	if (!recorder->control || !recorder->bits)
		return;
	/* Relaxed: a setting. */
	store_relaxed(&recorder->control->trace, is_on ? recorder->bits : 0);
	store_relaxed(&recorder->control->contention, is_on ? UINT32_C(1) : 0);
}

#endif
