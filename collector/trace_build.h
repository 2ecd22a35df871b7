/* SPDX-License-Identifier: MIT */
/*
 * The parts of trace_model_build(), in the order in which they run.
 *
 * Context: collector; for trace_model.c alone.
 */
#ifndef COLLECTOR_TRACE_BUILD_H
#define COLLECTOR_TRACE_BUILD_H

#include "trace_model.h"

/*
 * One pass over the events, in the order of time: threads, regions, tasks, the heap; waits and
 * wakes as they were recorded.  0 or -ENOMEM.
 */
int trace_build_intervals(struct trace_model *model);

/* Makes each thread's waits nest, and adds those that are not over.  0 or -ENOMEM. */
int trace_build_waits(struct trace_model *model);

/* Finds which wake ended which wait.  0 or -ENOMEM. */
int trace_build_wakers(struct trace_model *model);

/* Puts everything that happened in the window in order.  0 or -ENOMEM. */
int trace_build_steps(struct trace_model *model);

#endif
