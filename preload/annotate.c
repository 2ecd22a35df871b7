/* SPDX-License-Identifier: MIT */
/*
 * A thread's current task and the number of regions it is in are in its slot.  All else
 * that a task or a region needs at its end is in the value that the program holds; so
 * nothing here is to be found, bounded or given back.
 *
 * Regions nest by their times.  So these are the clock's: by the processor's counter (tick_clock.h)
 * a thread's times may go back by some nanoseconds when its moment is renewed.
 *
 * Context: any (async-signal-safe).
 */
#include "annotate.h"

#include "cprof.h"
#include "flight_slow.h"
#include "process.h"
#include "real.h"
#include "record.h"
#include "segment.h"
#include "thread_private.h"
#include "trace.h"

/* include/cprof.h calls these by name. */
void cprof_api_task_begin(const char *type, uint64_t parent, struct cprof_task *out_task);
void cprof_api_task_end(const struct cprof_task *task);
uint64_t cprof_api_task_switch(uint64_t task);
uint64_t cprof_api_task_current(void);
void cprof_api_region_begin(const char *type, struct cprof_region *out_region);
void cprof_api_region_end(const struct cprof_region *region);
void cprof_api_log(const char *category, const char *message);

static struct trace_text text_of(const char *string)
{
	struct trace_text text = {.bytes = string ? string : "", .byte_count = 0};
	while (text.byte_count < CPROF_TRACE_TEXT_MAX && text.bytes[text.byte_count])
		text.byte_count++;
	return text;
}

/* Begins to speak of the calling thread.  NULL: nothing is recorded of it. */
static struct thread_private *enter(struct guard *out_guard)
{
	if (!guard_enter(out_guard))
		return NULL;
	if (out_guard->slot)
		return thread_private_of(out_guard->slot);
	guard_leave(out_guard);
	return NULL;
}

static COLD NOINLINE void count_as_lost(void)
{
	if (process_is_recording())
		segment_count(CPROF_LOST_TRACE_EVENTS, 1);
}

/* The same to begin or to say something, while a trace is taken; what cannot be told is counted. */
static ALWAYS_INLINE struct thread_private *enter_trace(struct guard *out_guard)
{
	if (!trace_is_on())
		return NULL;
	struct thread_private *own = enter(out_guard);
	if (unlikely(!own))
		count_as_lost();
	return own;
}

/* Of the program's call, while a trace is taken. */
static uint32_t stack_of(const struct guard *guard, const struct unwind_regs *regs)
{
	return trace_is_on() ? record_stack_again(guard, regs) : 0;
}

void annotate_thread_begins(struct cprof_thread *slot)
{
	struct thread_private *own = thread_private_of(slot);
	own->task = 0;
	own->regions = 0;
}

EXPORT void cprof_api_task_begin(const char *type, uint64_t parent, struct cprof_task *out_task)
{
	struct guard guard;
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	struct thread_private *own = enter_trace(&guard);
	if (!own)
		return;
	const struct trace_text text = text_of(type);
	struct trace_event event = {.kind = CPROF_EVENT_TASK_BEGIN, .time_ns = real_monotonic_ns()};
	event.stack = stack_of(&guard, &regs);
	event.a = 1 + add_relaxed(&segment_control()->trace_tasks, 1); /* need only be unique */
	event.b = parent == CPROF_TASK_CURRENT_ ? own->task : parent;
	out_task->id = event.a;
	out_task->outer = own->task;
	out_task->watch = flight_slow_begin(text.bytes, text.byte_count, event.time_ns);
	own->task = event.a;
	trace_event_text(&guard, &event, &text, 1);
	guard_leave(&guard);
}

EXPORT void cprof_api_task_end(const struct cprof_task *task)
{
	struct guard guard;
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	struct thread_private *own = enter(&guard);
	if (!own)
		return;
	if (own->task == task->id)
		own->task = task->outer;
	const struct trace_event event = {.kind = CPROF_EVENT_TASK_END,
					  .stack = stack_of(&guard, &regs),
					  .time_ns = real_monotonic_ns(),
					  .a = task->id};
	trace_event(&guard, &event);
	flight_slow_end(task->watch, event.time_ns);
	guard_leave(&guard);
}

EXPORT uint64_t cprof_api_task_switch(uint64_t task)
{
	struct guard guard;
	struct thread_private *own = enter(&guard);
	if (!own)
		return 0;
	uint64_t before = own->task;
	own->task = task;
	guard_leave(&guard);
	return before;
}

EXPORT uint64_t cprof_api_task_current(void)
{
	struct guard guard;
	struct thread_private *own = enter(&guard);
	if (!own)
		return 0;
	uint64_t task = own->task;
	guard_leave(&guard);
	return task;
}

EXPORT void cprof_api_region_begin(const char *type, struct cprof_region *out_region)
{
	struct guard guard;
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	struct thread_private *own = enter_trace(&guard);
	if (!own)
		return;
	const struct trace_text text = text_of(type);
	const struct trace_event event = {.kind = CPROF_EVENT_REGION_BEGIN,
					  .stack = stack_of(&guard, &regs),
					  .time_ns = real_monotonic_ns(),
					  .a = own->task,
					  .b = own->regions};
	out_region->task = own->task;
	out_region->level = ++own->regions;
	out_region->watch = flight_slow_begin(text.bytes, text.byte_count, event.time_ns);
	trace_event_text(&guard, &event, &text, 1);
	guard_leave(&guard);
}

EXPORT void cprof_api_region_end(const struct cprof_region *region)
{
	struct guard guard;
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	struct thread_private *own = enter(&guard);
	if (!own)
		return;
	/* Else it ended with one around it, or began before a fork. */
	if (region->level <= own->regions) {
		own->regions = region->level - 1;
		const struct trace_event event = {.kind = CPROF_EVENT_REGION_END,
						  .stack = stack_of(&guard, &regs),
						  .time_ns = real_monotonic_ns(),
						  .a = region->task,
						  .b = own->regions};
		trace_event(&guard, &event);
		flight_slow_end(region->watch, event.time_ns);
	}
	guard_leave(&guard);
}

EXPORT void cprof_api_log(const char *category, const char *message)
{
	struct guard guard;
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	struct thread_private *own = enter_trace(&guard);
	if (!own)
		return;
	const struct trace_text parts[] = {text_of(category), text_of(message)};
	const struct trace_event event = {.kind = CPROF_EVENT_LOG,
					  .stack = stack_of(&guard, &regs),
					  .time_ns = real_monotonic_ns(),
					  .a = own->task,
					  .b = parts[0].byte_count};
	trace_event_text(&guard, &event, parts, ARRAY_LENGTH(parts));
	guard_leave(&guard);
}
