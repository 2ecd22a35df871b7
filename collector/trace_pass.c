/* SPDX-License-Identifier: MIT */
/*
 * Room is made for the most of each that the events can be.
 *
 * Context: collector; see trace_pass.h.
 */
#include "trace_pass.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trace_build.h"
#include "utf8.h"

/* ---- threads --------------------------------------------------------------------------------- */

static void start_thread(struct trace_pass *pass, const struct trace_event *event)
{
	struct trace_model_thread *thread = &pass->model->threads[event->thread];
	/* Anything that it did before shows that this is not its start. */
	if (pass->threads[event->thread].last_ns)
		return;
	thread->is_started = event->time_ns >= pass->model->input->from_ns;
	thread->begin_ns = event->time_ns;
	thread->created_by = event->stack;
	if (event->a == 0 || event->a > UINT32_MAX ||
	    !u64_map_find(&pass->thread_of, event->a, &thread->creator) || thread->creator == event->thread)
		thread->creator = TRACE_NONE;
}

static void end_thread(struct trace_pass *pass, const struct trace_event *event)
{
	struct trace_model_thread *thread = &pass->model->threads[event->thread];
	trace_marks_end_regions(pass, event->thread, 0, event->time_ns);
	thread->end_ns = event->time_ns;
	thread->is_ended = true;
}

/* What is missing before this event. */
static void look_for_cuts(struct trace_pass *pass, const struct trace_event *event)
{
	const struct trace_input *input = pass->model->input;
	struct trace_pass_thread *thread = &pass->threads[event->thread];
	for (; thread->gaps_seen < input->gap_count; thread->gaps_seen++) {
		const struct trace_gap *gap = &input->gaps[thread->gaps_seen];
		if (gap->from_ns > event->time_ns)
			break;
		trace_marks_cut_regions(pass, event->thread, gap->from_ns);
	}
	if (event->is_after_cut)
		trace_marks_cut_regions(pass, event->thread, thread->last_ns);
}

/* ---- the pass ----------------------------------------------------------------------------------- */

/* A wait for signals says not what it took: another event does, which lies within.  It is shown at the end. */
static void name_signal(struct trace_pass *pass, struct trace_wait *wait)
{
	struct trace_event *taken = pass->threads[wait->thread].taken;
	if (!taken || taken->time_ns < wait->begin_ns)
		return;
	wait->object = taken->what;
	wait->is_foreign = taken->a != 0 && taken->a != pass->model->input->pid;
	taken->time_ns = wait->end_ns;
	taken->order = pass->order++;
	pass->threads[wait->thread].taken = NULL;
}

static void add_wait(struct trace_pass *pass, const struct trace_event *event)
{
	struct trace_model *model = pass->model;
	const struct trace_input *input = model->input;
	struct trace_wait wait = {.begin_ns = event->time_ns - (event->a ? event->a : 1),
				  .end_ns = event->time_ns,
				  .object = event->what == CPROF_WAIT_SIGNAL ? 0 : event->b,
				  .thread = event->thread,
				  .stack = event->stack,
				  .waker = TRACE_NONE,
				  .next_woken = TRACE_NONE,
				  .order = event->order,
				  .what = event->what,
				  .gave_up = event->flags & CPROF_EVENT_GAVE_UP};
	if (wait.end_ns > input->until_ns) {
		wait.end_ns = input->until_ns;
		wait.is_open = true;
	} else if (event->what == CPROF_WAIT_SIGNAL) {
		name_signal(pass, &wait);
	}
	if (wait.begin_ns < wait.end_ns)
		model->waits[model->wait_count++] = wait;
}

static void add_wake(struct trace_model *model, const struct trace_event *event, uint32_t what,
		     uint64_t count)
{
	model->wakes[model->wake_count++] = (struct trace_wake){.time_ns = event->time_ns,
								.object = event->b,
								.count = count,
								.thread = event->thread,
								.stack = event->stack,
								.first_woken = TRACE_NONE,
								.what = (uint8_t)what};
}

/* A signal wakes who waits for it, if it is to come here. */
static void add_signal(struct trace_model *model, const struct trace_event *event)
{
	bool is_by_tid = event->flags & CPROF_EVENT_TO_TID;
	bool is_to_thread = is_by_tid || event->flags & CPROF_EVENT_TO_THREAD;
	uint64_t process = is_by_tid ? event->b : is_to_thread ? 0 : event->a;
	if ((is_to_thread && event->a == 0) || (process != 0 && process != model->input->pid))
		return;
	model->wakes[model->wake_count++] = (struct trace_wake){.time_ns = event->time_ns,
								.object = event->what,
								.target = is_to_thread ? event->a : 0,
								.thread = event->thread,
								.stack = event->stack,
								.first_woken = TRACE_NONE,
								.what = CPROF_WAIT_SIGNAL,
								.is_by_tid = is_by_tid};
}

static int take_event(struct trace_pass *pass, struct trace_event *event)
{
	struct trace_model *model = pass->model;
	bool is_ended = model->threads[event->thread].is_ended;
	/* What the last instructions of a thread free is counted all the same. */
	if (event->kind == CPROF_EVENT_HEAP)
		model->heap[model->heap_count++] = (struct trace_heap){.time_ns = event->time_ns,
								       .live_bytes = event->a,
								       .thread = is_ended ? TRACE_NONE
											  : event->thread,
								       .order = pass->order++};
	if (is_ended) {
		event->kind = CPROF_EVENT_NONE;
		return 0;
	}
	look_for_cuts(pass, event);
	event->order = pass->order++;
	int error = 0;
	switch ((enum cprof_event_kind)event->kind) {
	case CPROF_EVENT_WAIT:
		add_wait(pass, event);
		break;
	case CPROF_EVENT_WAKE:
		add_wake(model, event, event->what, event->a);
		break;
	case CPROF_EVENT_SIGNAL:
		add_signal(model, event);
		break;
	case CPROF_EVENT_SIGNAL_TAKEN:
		model->threads[event->thread].self = event->b;
		pass->threads[event->thread].taken = event;
		break;
	case CPROF_EVENT_THREAD_START:
		start_thread(pass, event);
		break;
	case CPROF_EVENT_THREAD_END:
		add_wake(model, event, CPROF_WAIT_JOIN, 0);
		end_thread(pass, event);
		break;
	case CPROF_EVENT_THREAD_NAME:
		model->threads[event->thread].name = event->text;
		break;
	case CPROF_EVENT_TASK_BEGIN:
		error = trace_marks_begin_task(pass, event);
		break;
	case CPROF_EVENT_TASK_END:
		error = trace_marks_end_task(pass, event);
		break;
	case CPROF_EVENT_REGION_BEGIN:
		trace_marks_begin_region(pass, event);
		break;
	case CPROF_EVENT_REGION_END:
		trace_marks_end_region(pass, event);
		break;
	default:
		break;
	}
	if (!error && !pass->threads[event->thread].last_ns)
		error = u64_map_put(&pass->thread_of, model->threads[event->thread].tid, event->thread);
	pass->threads[event->thread].last_ns = event->time_ns;
	return error;
}

/* Threads as they are before their first event. */
static int begin_threads(struct trace_pass *pass)
{
	struct trace_model *model = pass->model;
	for (uint32_t i = 0; i < model->thread_count; i++) {
		const struct trace_event_thread *from = &model->events.threads[i];
		model->threads[i] = (struct trace_model_thread){.tid = from->tid,
								.creator = TRACE_NONE,
								.name = "",
								.end_ns = model->input->until_ns};
		pass->threads[i] = (struct trace_pass_thread){.open_region = TRACE_NONE};
		if (from->seen && from->seen->is_live && u64_map_put(&pass->thread_of, from->tid, i) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* What the slots know of them. */
static int finish_threads(struct trace_pass *pass)
{
	struct trace_model *model = pass->model;
	for (uint32_t i = 0; i < model->thread_count; i++) {
		struct trace_model_thread *thread = &model->threads[i];
		const struct trace_thread *seen = model->events.threads[i].seen;
		for (uint32_t g = pass->threads[i].gaps_seen; g < model->input->gap_count; g++)
			trace_marks_cut_regions(pass, i, model->input->gaps[g].from_ns);
		for (uint32_t r = pass->threads[i].open_region; r != TRACE_NONE; r = pass->outer_region[r])
			model->regions[r].end_order = pass->order++;
		/* The first thread is called as the process. */
		if (!thread->name[0] && thread->tid == model->input->pid)
			thread->name = utf8_copy(&model->events.texts, model->input->process_name);
		if (!thread->name)
			return -ENOMEM;
		if (!seen)
			continue;
		char name[sizeof seen->name + 1] = "";
		memcpy(name, seen->name, sizeof seen->name);
		if (name[0])
			thread->name = utf8_copy(&model->events.texts, name);
		if (!thread->name)
			return -ENOMEM;
		if (!thread->created_by)
			thread->created_by = seen->created_by;
	}
	return 0;
}

/* Changes become sizes, backwards from the one that is known. */
static void finish_heap(struct trace_model *model)
{
	uint64_t live = model->input->live_heap_bytes;
	for (size_t i = model->heap_count; i-- > 0;) {
		uint64_t change = model->heap[i].live_bytes;
		/* What was estimated, and what began before, may not add up. */
		model->heap[i].live_bytes = (int64_t)live < 0 ? 0 : live;
		live -= change;
	}
}

/* Room for the most of each that the events can be. */
static int make_room(struct trace_model *model, struct trace_pass *pass)
{
	size_t counts[CPROF_EVENT_COUNT] = {0};
	size_t threads = model->events.thread_count;
	for (size_t i = 0; i < model->events.count; i++)
		counts[model->events.items[i].kind]++;
	size_t regions = counts[CPROF_EVENT_REGION_BEGIN];
	model->thread_count = threads;
	model->threads = calloc(threads + 1, sizeof *model->threads);
	model->waits = calloc(counts[CPROF_EVENT_WAIT] + threads + 1, sizeof *model->waits);
	model->wakes = calloc(counts[CPROF_EVENT_WAKE] + counts[CPROF_EVENT_THREAD_END] +
				      counts[CPROF_EVENT_SIGNAL] + 1,
			      sizeof *model->wakes);
	model->regions = calloc(regions + 1, sizeof *model->regions);
	model->tasks = calloc(counts[CPROF_EVENT_TASK_BEGIN] + counts[CPROF_EVENT_TASK_END] + 1,
			      sizeof *model->tasks);
	model->heap = calloc(counts[CPROF_EVENT_HEAP] + 1, sizeof *model->heap);
	pass->threads = calloc(threads + 1, sizeof *pass->threads);
	pass->outer_region = calloc(regions + 1, sizeof *pass->outer_region);
	bool has_room = model->threads && model->waits && model->wakes && model->regions && model->tasks &&
			model->heap && pass->threads && pass->outer_region;
	return has_room ? 0 : -ENOMEM;
}

int trace_build_intervals(struct trace_model *model)
{
	struct trace_pass pass = {.model = model};
	int error = make_room(model, &pass);
	if (!error)
		error = begin_threads(&pass);
	for (size_t i = 0; i < model->events.count && !error; i++)
		error = take_event(&pass, &model->events.items[i]);
	if (!error)
		error = finish_threads(&pass);
	trace_marks_finish_tasks(&pass);
	finish_heap(model);
	free(pass.threads);
	free(pass.outer_region);
	u64_map_fini(&pass.thread_of);
	u64_map_fini(&pass.task_of);
	return error;
}
