/* SPDX-License-Identifier: MIT */
/*
 * The pass over a trace's events, in the order of time, in which they become threads,
 * waits, wakes, regions and tasks.
 *
 * Context: collector; for trace_pass.c and trace_marks.c alone.
 */
#ifndef COLLECTOR_TRACE_PASS_H
#define COLLECTOR_TRACE_PASS_H

#include "trace_model.h"
#include "u64_map.h"

/* A thread during the pass. */
struct trace_pass_thread {
	uint64_t last_ns;     /* of its events so far, 0: none */
	uint32_t open_region; /* the innermost; TRACE_NONE: none */
	uint32_t gaps_seen;
	struct trace_event *taken; /* the signal that it took last, NULL: none */
};

struct trace_pass {
	struct trace_model *model;
	struct trace_pass_thread *threads;
	uint32_t *outer_region;   /* by region: the one around it */
	struct u64_map thread_of; /* tid -> thread */
	struct u64_map task_of;   /* id -> task */
	uint32_t order;
};

/* ---- what programs say themselves (trace_marks.c) ---------------------------------------- */

void trace_marks_begin_region(struct trace_pass *pass, const struct trace_event *event);

/* The one that the event is about, which may be gone, and those that were left in it. */
void trace_marks_end_region(struct trace_pass *pass, const struct trace_event *event);

/* Ends those of a thread from this depth on. */
void trace_marks_end_regions(struct trace_pass *pass, uint32_t thread, uint64_t depth, uint64_t time_ns);

/* Nobody knows what became of them. */
void trace_marks_cut_regions(struct trace_pass *pass, uint32_t thread, uint64_t time_ns);

/* 0 or -ENOMEM. */
int trace_marks_begin_task(struct trace_pass *pass, const struct trace_event *event);
int trace_marks_end_task(struct trace_pass *pass, const struct trace_event *event);

/* After the last event. */
void trace_marks_finish_tasks(struct trace_pass *pass);

#endif
