/* SPDX-License-Identifier: MIT */
/*
 * Regions nest in their thread, and end with those around them.  Where events are missing (a
 * gap, chunks that were gone over) nobody knows which ended meanwhile: they are cut there.
 * Tasks begin and end anywhere; of one whose begin is missing only the end is known.
 *
 * Context: collector; see trace_pass.h.
 */
#include "trace_pass.h"

static uint64_t max_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- regions ------------------------------------------------------------------------- */

static void end_region(struct trace_pass *pass, uint32_t thread, uint64_t time_ns)
{
	uint32_t index = pass->threads[thread].open_region;
	struct trace_region *region = &pass->model->regions[index];
	region->end_ns = max_of(time_ns, region->begin_ns);
	region->end_order = pass->order++;
	region->is_open = false;
	pass->threads[thread].open_region = pass->outer_region[index];
}

void trace_marks_cut_regions(struct trace_pass *pass, uint32_t thread, uint64_t time_ns)
{
	while (pass->threads[thread].open_region != TRACE_NONE) {
		pass->model->regions[pass->threads[thread].open_region].is_cut = true;
		end_region(pass, thread, time_ns);
	}
}

void trace_marks_end_regions(struct trace_pass *pass, uint32_t thread, uint64_t depth, uint64_t time_ns)
{
	uint32_t open;
	while ((open = pass->threads[thread].open_region) != TRACE_NONE &&
	       pass->model->regions[open].depth >= depth)
		end_region(pass, thread, time_ns);
}

void trace_marks_end_region(struct trace_pass *pass, const struct trace_event *event)
{
	trace_marks_end_regions(pass, event->thread, event->b + 1, event->time_ns);
	uint32_t open = pass->threads[event->thread].open_region;
	if (open != TRACE_NONE && pass->model->regions[open].depth == event->b)
		pass->model->regions[open].end_stack = event->stack;
	trace_marks_end_regions(pass, event->thread, event->b, event->time_ns);
}

void trace_marks_begin_region(struct trace_pass *pass, const struct trace_event *event)
{
	struct trace_model *model = pass->model;
	struct trace_pass_thread *thread = &pass->threads[event->thread];
	trace_marks_end_regions(pass, event->thread, event->b, event->time_ns);
	uint32_t index = (uint32_t)model->region_count++;
	model->regions[index] = (struct trace_region){.begin_ns = event->time_ns,
						      .end_ns = model->input->until_ns,
						      .task = event->a,
						      .depth = event->b,
						      .type = event->text,
						      .thread = event->thread,
						      .stack = event->stack,
						      .begin_order = pass->order++,
						      .is_open = true};
	pass->outer_region[index] = thread->open_region;
	thread->open_region = index;
}

/* ---- tasks --------------------------------------------------------------------------------- */

int trace_marks_begin_task(struct trace_pass *pass, const struct trace_event *event)
{
	struct trace_model *model = pass->model;
	uint32_t index;
	if (event->a == 0 || u64_map_find(&pass->task_of, event->a, &index))
		return 0;
	index = (uint32_t)model->task_count++;
	model->tasks[index] = (struct trace_task){.id = event->a,
						  .parent = event->b,
						  .begin_ns = event->time_ns,
						  .end_ns = model->input->until_ns,
						  .type = event->text,
						  .begun_by = event->thread,
						  .ended_by = TRACE_NONE,
						  .stack = event->stack,
						  .begin_order = pass->order++};
	return u64_map_put(&pass->task_of, event->a, index);
}

int trace_marks_end_task(struct trace_pass *pass, const struct trace_event *event)
{
	struct trace_model *model = pass->model;
	uint32_t index;
	if (event->a == 0)
		return 0;
	if (!u64_map_find(&pass->task_of, event->a, &index)) {
		index = (uint32_t)model->task_count++;
		model->tasks[index] = (struct trace_task){.id = event->a,
							  .type = "",
							  .begun_by = TRACE_NONE,
							  .ended_by = TRACE_NONE,
							  .begin_order = pass->order++};
		int error = u64_map_put(&pass->task_of, event->a, index);
		if (error)
			return error;
	}
	struct trace_task *task = &model->tasks[index];
	if (task->ended_by != TRACE_NONE)
		return 0;
	task->end_ns = event->time_ns;
	task->ended_by = event->thread;
	task->end_stack = event->stack;
	task->end_order = pass->order++;
	return 0;
}

void trace_marks_finish_tasks(struct trace_pass *pass)
{
	struct trace_model *model = pass->model;
	for (size_t i = 0; i < model->task_count; i++)
		if (model->tasks[i].ended_by == TRACE_NONE)
			model->tasks[i].end_order = pass->order++;
}
