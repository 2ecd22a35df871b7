/* SPDX-License-Identifier: MIT */
/*
 * What happened in a trace, as both formats show it: threads, waits with who ended them,
 * regions, tasks, and all of that as steps in the order of time.  The steps are
 * consistent, whatever the events were: what begins ends, regions and waits of a thread
 * nest, nothing happens to a thread before it starts or after it has ended.
 *
 * A time before the trace's window is kept in the intervals, and is the window's begin in
 * the steps.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_TRACE_MODEL_H
#define COLLECTOR_TRACE_MODEL_H

#include "trace_events.h"

#define TRACE_NONE UINT32_MAX /* no such thread, wait, wake */

struct trace_model_thread {
	uint32_t tid;
	uint32_t creator;    /* thread; TRACE_NONE: not known */
	uint32_t created_by; /* stack, 0: not known */
	uint32_t wait_count; /* that are not nested */
	const char *name;    /* its last one, "": not known */
	uint64_t self;       /* as pthread_kill names it, 0: not known */
	uint64_t begin_ns;   /* its start, or the window's begin */
	uint64_t end_ns;     /* its end, or the window's */
	bool is_shown;       /* it lived in the window; of others there are no steps */
	bool is_started;     /* in the window */
	bool is_ended;
};

struct trace_wait {
	uint64_t begin_ns;
	uint64_t end_ns;
	uint64_t object; /* of a SIGNAL: the number that it took, 0: not known */
	uint32_t thread;
	uint32_t stack;
	uint32_t waker;      /* wake that ended it; TRACE_NONE: not known */
	uint32_t next_woken; /* by the same wake; TRACE_NONE: the last */
	uint32_t order;      /* of its end, among what happened at the same time */
	uint8_t what;        /* enum cprof_wait */
	bool gave_up;
	bool is_open : 1;    /* still waited when the trace ended */
	bool is_nested : 1;  /* in a handler that ran during another wait of the thread */
	bool is_foreign : 1; /* another process ended it */
};

struct trace_wake {
	uint64_t time_ns;
	uint64_t object; /* of a SIGNAL: its number */
	union {
		uint64_t count;  /* how many it frees, 0: all */
		uint64_t target; /* of a SIGNAL: the thread that it is for, 0: any of the process */
	};
	uint32_t thread;
	uint32_t stack;
	uint32_t first_woken; /* wait; TRACE_NONE: none */
	uint8_t what;
	bool is_by_tid; /* the target is a tid, else as pthread_kill names it */
};

/* A mutex that threads had to wait for. */
struct trace_lock {
	uint64_t object;
	uint64_t waited_ns; /* by all together */
	bool is_shown;      /* one of those that were waited for most: of others there are no steps */
};

/* A time for which a thread certainly held a lock. */
struct trace_hold {
	uint64_t begin_ns;
	uint64_t end_ns;
	uint32_t lock;
	uint32_t wake; /* that ended it */
};

struct trace_region {
	uint64_t begin_ns;
	uint64_t end_ns;
	uint64_t task;
	uint64_t depth; /* as the program counts */
	const char *type;
	uint32_t thread;
	uint32_t stack;
	uint32_t end_stack;
	uint32_t begin_order; /* among what happened at the same time */
	uint32_t end_order;
	bool is_open; /* had not ended */
	bool is_cut;  /* its end is missing: it ended here, or later */
};

struct trace_task {
	uint64_t id;
	uint64_t parent; /* id, 0: none */
	uint64_t begin_ns;
	uint64_t end_ns;
	const char *type;
	uint32_t begun_by; /* thread; TRACE_NONE: before all that is known */
	uint32_t ended_by; /* thread; TRACE_NONE: had not ended */
	uint32_t stack;
	uint32_t end_stack;
	uint32_t begin_order;
	uint32_t end_order;
};

struct trace_heap {
	uint64_t time_ns;
	uint64_t live_bytes; /* after the change */
	uint32_t thread;     /* TRACE_NONE: one that had ended */
	uint32_t order;
};

enum trace_step_kind {
	TRACE_STEP_THREAD_START,
	TRACE_STEP_THREAD_END,
	TRACE_STEP_WAIT_BEGIN,
	TRACE_STEP_WAIT_END,
	TRACE_STEP_WAKE,
	TRACE_STEP_HOLD_BEGIN,
	TRACE_STEP_HOLD_END,
	TRACE_STEP_REGION_BEGIN,
	TRACE_STEP_REGION_END,
	TRACE_STEP_TASK_BEGIN,
	TRACE_STEP_TASK_END,
	TRACE_STEP_HEAP,
	TRACE_STEP_EVENT, /* all others: a log, a sample, a fork and so on: index into events */
	TRACE_STEP_GAP_BEGIN,
	TRACE_STEP_GAP_END
};

struct trace_step {
	uint64_t time_ns;
	uint32_t thread; /* TRACE_NONE: of no thread */
	uint32_t index;  /* into the array of what it is about */
	uint32_t order;  /* among those of the same time and rank */
	uint16_t rank;
	uint16_t kind; /* enum trace_step_kind */
};

struct trace_model {
	const struct trace_input *input;
	struct trace_events events;
	struct trace_model_thread *threads; /* as events.threads */
	size_t thread_count;
	struct trace_wait *waits; /* in the order of their ends */
	size_t wait_count;
	struct trace_wake *wakes; /* in the order of time */
	size_t wake_count;
	struct trace_lock *locks;
	size_t lock_count;
	struct trace_hold *holds;
	size_t hold_count;
	struct trace_region *regions;
	size_t region_count;
	struct trace_task *tasks;
	size_t task_count;
	struct trace_heap *heap;
	size_t heap_count;
	struct trace_step *steps;
	size_t step_count;
};

/* 0 or -ENOMEM; the result is to be freed in any case.  `input` is borrowed until then. */
int trace_model_build(const struct trace_input *input, struct trace_model *out_model);
void trace_model_free(struct trace_model *model);

#endif
