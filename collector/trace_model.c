/* SPDX-License-Identifier: MIT */
/*
 * One pass over the events finds threads, regions and tasks, and collects waits and
 * wakes; then the waits of each thread are made to nest, wakers are found
 * (trace_wakers.c), and everything becomes steps (trace_steps.c).
 *
 * Where events are missing (a gap, chunks that were gone over) nobody knows which regions
 * ended meanwhile: they are cut there.
 *
 * Context: collector; see trace_model.h.
 */
#include "trace_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trace_build.h"
#include "u64_map.h"
#include "utf8.h"

/* A thread during the pass. */
struct pass_thread {
	uint64_t last_ns;     /* of its events so far, 0: none */
	uint32_t open_region; /* the innermost; TRACE_NONE: none */
	uint32_t gaps_seen;
	struct trace_event *taken; /* the signal that it took last, NULL: none */
};

struct pass {
	struct trace_model *model;
	struct pass_thread *threads;
	uint32_t *outer_region;   /* by region: the one around it */
	struct u64_map thread_of; /* tid -> thread */
	struct u64_map task_of;   /* id -> task */
	uint32_t order;
};

static uint64_t max_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- regions ------------------------------------------------------------------------- */

static void end_region(struct pass *pass, uint32_t thread, uint64_t time_ns)
{
	uint32_t index = pass->threads[thread].open_region;
	struct trace_region *region = &pass->model->regions[index];
	region->end_ns = max_of(time_ns, region->begin_ns);
	region->end_order = pass->order++;
	region->is_open = false;
	pass->threads[thread].open_region = pass->outer_region[index];
}

static void cut_regions(struct pass *pass, uint32_t thread, uint64_t time_ns)
{
	while (pass->threads[thread].open_region != TRACE_NONE) {
		pass->model->regions[pass->threads[thread].open_region].is_cut = true;
		end_region(pass, thread, time_ns);
	}
}

/* Ends those that are deeper than `depth` says. */
static void end_regions_from(struct pass *pass, uint32_t thread, uint64_t depth, uint64_t time_ns)
{
	uint32_t open;
	while ((open = pass->threads[thread].open_region) != TRACE_NONE &&
	       pass->model->regions[open].depth >= depth)
		end_region(pass, thread, time_ns);
}

/* The one that the event is about, which may be gone, and those that were left in it. */
static void take_region_end(struct pass *pass, const struct trace_event *event)
{
	end_regions_from(pass, event->thread, event->b + 1, event->time_ns);
	uint32_t open = pass->threads[event->thread].open_region;
	if (open != TRACE_NONE && pass->model->regions[open].depth == event->b)
		pass->model->regions[open].end_stack = event->stack;
	end_regions_from(pass, event->thread, event->b, event->time_ns);
}

static void begin_region(struct pass *pass, const struct trace_event *event)
{
	struct trace_model *model = pass->model;
	struct pass_thread *thread = &pass->threads[event->thread];
	end_regions_from(pass, event->thread, event->b, event->time_ns);
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

static int begin_task(struct pass *pass, const struct trace_event *event)
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

static int end_task(struct pass *pass, const struct trace_event *event)
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

/* ---- threads --------------------------------------------------------------------------------- */

static void start_thread(struct pass *pass, const struct trace_event *event)
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

static void end_thread(struct pass *pass, const struct trace_event *event)
{
	struct trace_model_thread *thread = &pass->model->threads[event->thread];
	end_regions_from(pass, event->thread, 0, event->time_ns);
	thread->end_ns = event->time_ns;
	thread->is_ended = true;
}

/* What is missing before this event. */
static void look_for_cuts(struct pass *pass, const struct trace_event *event)
{
	const struct trace_input *input = pass->model->input;
	struct pass_thread *thread = &pass->threads[event->thread];
	for (; thread->gaps_seen < input->gap_count; thread->gaps_seen++) {
		const struct trace_gap *gap = &input->gaps[thread->gaps_seen];
		if (gap->from_ns > event->time_ns)
			break;
		cut_regions(pass, event->thread, gap->from_ns);
	}
	if (event->is_after_cut)
		cut_regions(pass, event->thread, thread->last_ns);
}

/* ---- the pass ----------------------------------------------------------------------------------- */

/* A wait for signals says not what it took: another event does, which lies within.  It is shown at the end. */
static void name_signal(struct pass *pass, struct trace_wait *wait)
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

static void add_wait(struct pass *pass, const struct trace_event *event)
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
	bool is_to_thread = event->flags & CPROF_EVENT_TO_THREAD;
	if (is_to_thread ? event->a == 0 : event->a != model->input->pid && event->a != 0)
		return;
	model->wakes[model->wake_count++] = (struct trace_wake){.time_ns = event->time_ns,
								.object = event->what,
								.target = is_to_thread ? event->a : 0,
								.thread = event->thread,
								.stack = event->stack,
								.first_woken = TRACE_NONE,
								.what = CPROF_WAIT_SIGNAL};
}

static int take_event(struct pass *pass, struct trace_event *event)
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
		error = begin_task(pass, event);
		break;
	case CPROF_EVENT_TASK_END:
		error = end_task(pass, event);
		break;
	case CPROF_EVENT_REGION_BEGIN:
		begin_region(pass, event);
		break;
	case CPROF_EVENT_REGION_END:
		take_region_end(pass, event);
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
static int begin_threads(struct pass *pass)
{
	struct trace_model *model = pass->model;
	for (uint32_t i = 0; i < model->thread_count; i++) {
		const struct trace_event_thread *from = &model->events.threads[i];
		model->threads[i] = (struct trace_model_thread){.tid = from->tid,
								.creator = TRACE_NONE,
								.name = "",
								.end_ns = model->input->until_ns};
		pass->threads[i] = (struct pass_thread){.open_region = TRACE_NONE};
		if (from->seen && from->seen->is_live && u64_map_put(&pass->thread_of, from->tid, i) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* What the slots know of them. */
static int finish_threads(struct pass *pass)
{
	struct trace_model *model = pass->model;
	for (uint32_t i = 0; i < model->thread_count; i++) {
		struct trace_model_thread *thread = &model->threads[i];
		const struct trace_thread *seen = model->events.threads[i].seen;
		for (uint32_t g = pass->threads[i].gaps_seen; g < model->input->gap_count; g++)
			cut_regions(pass, i, model->input->gaps[g].from_ns);
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

static void finish_tasks(struct pass *pass)
{
	struct trace_model *model = pass->model;
	for (size_t i = 0; i < model->task_count; i++)
		if (model->tasks[i].ended_by == TRACE_NONE)
			model->tasks[i].end_order = pass->order++;
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
static int make_room(struct trace_model *model, struct pass *pass)
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

static int run_pass(struct pass *pass)
{
	int error = begin_threads(pass);
	for (size_t i = 0; i < pass->model->events.count && !error; i++)
		error = take_event(pass, &pass->model->events.items[i]);
	if (!error)
		error = finish_threads(pass);
	finish_tasks(pass);
	finish_heap(pass->model);
	return error;
}

int trace_model_build(const struct trace_input *input, struct trace_model *out_model)
{
	*out_model = (struct trace_model){.input = input};
	struct pass pass = {.model = out_model};
	int error = trace_events_read(input, &out_model->events);
	if (!error)
		error = make_room(out_model, &pass);
	if (!error)
		error = run_pass(&pass);
	trace_events_keep_shown(&out_model->events);
	if (!error)
		error = trace_build_waits(out_model);
	if (!error)
		error = trace_build_wakers(out_model);
	if (!error)
		error = trace_build_steps(out_model);
	free(pass.threads);
	free(pass.outer_region);
	u64_map_fini(&pass.thread_of);
	u64_map_fini(&pass.task_of);
	return error;
}

void trace_model_free(struct trace_model *model)
{
	trace_events_free(&model->events);
	free(model->threads);
	free(model->waits);
	free(model->wakes);
	free(model->locks);
	free(model->holds);
	free(model->regions);
	free(model->tasks);
	free(model->heap);
	free(model->steps);
	*model = (struct trace_model){0};
}
