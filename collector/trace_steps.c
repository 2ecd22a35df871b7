/* SPDX-License-Identifier: MIT */
/*
 * What happens at the same time is put in the order in which it was found: first threads
 * that are there from the window's begin, then wakes, so that they come before the ends of
 * the waits that they end, then the rest as the threads did it, and last the begins of
 * waits, the outer before the nested.
 *
 * Context: collector; see trace_build.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "compare.h"
#include "lean_sort.h"
#include "trace_build.h"

enum rank { RANK_THREAD_START, RANK_WAKE, RANK_OTHER, RANK_THREAD_END, RANK_WAIT_BEGIN };

static int by_time(const void *left, const void *right)
{
	const struct trace_step *a = left;
	const struct trace_step *b = right;
	int order = compare_u64(a->time_ns, b->time_ns);
	if (!order)
		order = compare_u64(a->rank, b->rank);
	return order ? order : compare_u64(a->order, b->order);
}

static void add(struct trace_model *model, enum trace_step_kind kind, uint64_t time_ns, uint32_t thread,
		size_t index, enum rank rank, size_t order)
{
	if (time_ns < model->input->from_ns)
		time_ns = model->input->from_ns;
	model->steps[model->step_count++] = (struct trace_step){.time_ns = time_ns,
								.thread = thread,
								.index = (uint32_t)index,
								.order = (uint32_t)order,
								.rank = (uint16_t)rank,
								.kind = (uint16_t)kind};
}

static bool is_in_window(const struct trace_model *model, uint64_t time_ns)
{
	return time_ns >= model->input->from_ns;
}

static void add_threads(struct trace_model *model)
{
	for (uint32_t i = 0; i < model->thread_count; i++) {
		struct trace_model_thread *thread = &model->threads[i];
		thread->is_shown = is_in_window(model, thread->end_ns);
		if (!thread->is_shown)
			continue;
		if (!thread->is_started)
			thread->begin_ns = model->input->from_ns;
		add(model, TRACE_STEP_THREAD_START, thread->begin_ns, i, i, RANK_THREAD_START, i);
		if (thread->is_ended)
			add(model, TRACE_STEP_THREAD_END, thread->end_ns, i, i, RANK_THREAD_END, i);
	}
}

static void add_waits(struct trace_model *model)
{
	for (size_t i = model->wait_count; i-- > 0;) {
		const struct trace_wait *wait = &model->waits[i];
		if (!is_in_window(model, wait->end_ns) || !model->threads[wait->thread].is_shown)
			continue;
		/* One that ends as the window begins shows nothing. */
		if (wait->end_ns == model->input->from_ns)
			continue;
		add(model, TRACE_STEP_WAIT_BEGIN, wait->begin_ns, wait->thread, i, RANK_WAIT_BEGIN,
		    model->wait_count - i);
		add(model, TRACE_STEP_WAIT_END, wait->end_ns, wait->thread, i, RANK_OTHER, wait->order);
	}
	for (size_t i = 0; i < model->wake_count; i++) {
		const struct trace_wake *wake = &model->wakes[i];
		if (is_in_window(model, wake->time_ns))
			add(model, TRACE_STEP_WAKE, wake->time_ns, wake->thread, i, RANK_WAKE, i);
	}
}

static void add_holds(struct trace_model *model)
{
	for (size_t i = 0; i < model->hold_count; i++) {
		const struct trace_hold *hold = &model->holds[i];
		uint32_t holder = model->wakes[hold->wake].thread;
		if (hold->end_ns <= model->input->from_ns || !model->locks[hold->lock].is_shown)
			continue;
		add(model, TRACE_STEP_HOLD_BEGIN, hold->begin_ns, holder, i, RANK_OTHER, UINT32_MAX);
		add(model, TRACE_STEP_HOLD_END, hold->end_ns, holder, i, RANK_WAKE, UINT32_MAX);
	}
}

static void add_regions(struct trace_model *model)
{
	for (size_t i = 0; i < model->region_count; i++) {
		const struct trace_region *region = &model->regions[i];
		if (!is_in_window(model, region->end_ns))
			continue;
		add(model, TRACE_STEP_REGION_BEGIN, region->begin_ns, region->thread, i, RANK_OTHER,
		    region->begin_order);
		add(model, TRACE_STEP_REGION_END, region->end_ns, region->thread, i, RANK_OTHER,
		    region->end_order);
	}
}

static void add_tasks(struct trace_model *model)
{
	for (size_t i = 0; i < model->task_count; i++) {
		const struct trace_task *task = &model->tasks[i];
		if (!is_in_window(model, task->end_ns))
			continue;
		uint32_t begun_by = task->begun_by;
		if (begun_by != TRACE_NONE && !model->threads[begun_by].is_shown)
			begun_by = TRACE_NONE;
		add(model, TRACE_STEP_TASK_BEGIN, task->begin_ns, begun_by, i, RANK_OTHER, task->begin_order);
		add(model, TRACE_STEP_TASK_END, task->end_ns, task->ended_by, i, RANK_OTHER, task->end_order);
	}
}

static void add_events(struct trace_model *model)
{
	for (size_t i = 0; i < model->heap_count; i++)
		if (is_in_window(model, model->heap[i].time_ns))
			add(model, TRACE_STEP_HEAP, model->heap[i].time_ns, model->heap[i].thread, i,
			    RANK_OTHER, model->heap[i].order);
	for (size_t i = 0; i < model->events.count; i++) {
		const struct trace_event *event = &model->events.items[i];
		if (trace_event_is_shown(event) && is_in_window(model, event->time_ns))
			add(model, TRACE_STEP_EVENT, event->time_ns, event->thread, i, RANK_OTHER,
			    event->order);
	}
}

static void add_gaps(struct trace_model *model)
{
	const struct trace_input *input = model->input;
	uint64_t done_ns = input->from_ns;
	for (size_t i = 0; i < input->gap_count; i++) {
		const struct trace_gap *gap = &input->gaps[i];
		uint64_t until_ns = gap->until_ns < input->until_ns ? gap->until_ns : input->until_ns;
		if (gap->from_ns >= until_ns || until_ns <= done_ns)
			continue;
		add(model, TRACE_STEP_GAP_BEGIN, gap->from_ns > done_ns ? gap->from_ns : done_ns, TRACE_NONE,
		    i, RANK_OTHER, UINT32_MAX);
		add(model, TRACE_STEP_GAP_END, until_ns, TRACE_NONE, i, RANK_OTHER, 0);
		done_ns = until_ns;
	}
}

int trace_build_steps(struct trace_model *model)
{
	size_t room = 2 * (model->thread_count + model->wait_count + model->region_count + model->task_count +
			   model->hold_count + model->input->gap_count) +
		      model->wake_count + model->heap_count + model->events.count;
	model->steps = calloc(room + 1, sizeof *model->steps);
	if (!model->steps)
		return -ENOMEM;
	add_threads(model);
	add_waits(model);
	add_holds(model);
	add_regions(model);
	add_tasks(model);
	add_events(model);
	add_gaps(model);
	return lean_sort(model->steps, model->step_count, sizeof *model->steps, by_time);
}
