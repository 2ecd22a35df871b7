/* SPDX-License-Identifier: MIT */
/*
 * A reader of Go's traces replays what goroutines do, and refuses all of a trace for one
 * event that cannot be: a goroutine that is woken while it runs, one that acts while it
 * waits.  So the writer replays it first, by the same rules, and each event is written only
 * in a state that allows it:
 *
 *   RUNNING --block--> WAITING --unblock--> RUNNABLE --start--> RUNNING --end--> GONE
 *
 * A thread that acts in the middle of a wait (a handler) is shown to wake for a moment.  A
 * wait whose waker is not known is ended by nobody on processor 0, which no thread has:
 * viewers draw no arrow from there.
 *
 * Context: collector; see trace_go.h.
 */
#include "trace_go.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cprof_compiler.h"
#include "go_events.h"
#include "go_tables.h"
#include "trace_first_functions.h"
#include "trace_signal.h"

#define HEADER "go 1.19 trace\0\0"

enum state { NOT_YET, RUNNING, WAITING, RUNNABLE, GONE };

struct goroutine {
	struct go_batch batch;
	uint64_t id;
	enum state state;
	uint32_t wait; /* in which it is, while WAITING */
};

struct writer {
	const struct trace_model *model;
	struct trace_symbols *symbols;
	struct goroutine *goroutines; /* by thread */
	uint32_t *first_functions;    /* likewise */
	struct go_batch own;          /* of processor 0: tables, samples, ends of waits */
	struct go_clock clock;
	struct go_tables tables;
	bool is_failed;
};

static uint64_t processor(uint32_t thread)
{
	return (uint64_t)thread + 1;
}

static void emit(struct writer *writer, struct goroutine *on, enum go_event type, uint64_t time_ns,
		 const uint64_t *arguments, uint32_t argument_count)
{
	go_batch_add(&on->batch, type, go_clock_next(&writer->clock, time_ns), arguments, argument_count);
}

/* ---- states ------------------------------------------------------------------------------ */

static void start(struct writer *writer, struct goroutine *g, uint64_t time_ns)
{
	emit(writer, g, GO_START_LOCAL, time_ns, GO_ARGUMENTS(g->id));
	g->state = RUNNING;
}

static void block(struct writer *writer, struct goroutine *g, uint32_t wait_index, uint64_t time_ns)
{
	const struct trace_wait *wait = &writer->model->waits[wait_index];
	enum go_event type = GO_BLOCK_SYNC;
	switch ((enum cprof_wait)wait->what) {
	case CPROF_WAIT_COND:
		type = GO_BLOCK_COND;
		break;
	case CPROF_WAIT_READ:
	case CPROF_WAIT_WRITE:
	case CPROF_WAIT_POLL:
	case CPROF_WAIT_ACCEPT:
	case CPROF_WAIT_CONNECT:
		type = GO_BLOCK_NET;
		break;
	case CPROF_WAIT_SLEEP:
		type = GO_SLEEP;
		break;
	case CPROF_WAIT_CHILD:
		type = GO_BLOCK;
		break;
	default:
		break;
	}
	emit(writer, g, type, time_ns, GO_ARGUMENTS(go_tables_stack(&writer->tables, wait->stack)));
	g->state = WAITING;
	g->wait = wait_index;
}

/* Makes a thread run that is there.  Returns the wait that it interrupts, or TRACE_NONE. */
static uint32_t wake_up(struct writer *writer, struct goroutine *g, uint64_t time_ns)
{
	uint32_t wait = TRACE_NONE;
	if (g->state == WAITING) {
		wait = g->wait;
		go_batch_add(&writer->own, GO_UNBLOCK_LOCAL, go_clock_next(&writer->clock, time_ns),
			     GO_ARGUMENTS(g->id, 0));
		g->state = RUNNABLE;
	}
	if (g->state == RUNNABLE)
		start(writer, g, time_ns);
	return wait;
}

static void wait_on(struct writer *writer, struct goroutine *g, uint32_t wait, uint64_t time_ns)
{
	if (wait != TRACE_NONE)
		block(writer, g, wait, time_ns);
}

static bool is_there(const struct goroutine *g)
{
	return g->state != NOT_YET && g->state != GONE;
}

/* The thread, or, for what no thread did, any that is there; NULL: none is. */
static struct goroutine *actor(struct writer *writer, uint32_t thread)
{
	if (thread != TRACE_NONE)
		return is_there(&writer->goroutines[thread]) ? &writer->goroutines[thread] : NULL;
	for (size_t i = 0; i < writer->model->thread_count; i++)
		if (is_there(&writer->goroutines[i]))
			return &writer->goroutines[i];
	return NULL;
}

/* ---- steps -------------------------------------------------------------------------------- */

static void start_thread(struct writer *writer, const struct trace_step *step)
{
	const struct trace_model_thread *thread = &writer->model->threads[step->thread];
	struct goroutine *g = &writer->goroutines[step->thread];
	struct goroutine *creator = g;
	go_batch_begin(&g->batch, processor(step->thread), step->time_ns);
	emit(writer, g, GO_PROC_START, step->time_ns, GO_ARGUMENTS(thread->tid));
	if (thread->is_started && thread->creator != TRACE_NONE &&
	    writer->goroutines[thread->creator].state == RUNNING)
		creator = &writer->goroutines[thread->creator];
	emit(writer, creator, GO_CREATE, step->time_ns,
	     GO_ARGUMENTS(g->id, go_tables_first_function(step->thread),
			  go_tables_stack(&writer->tables, thread->created_by)));
	start(writer, g, step->time_ns);
}

static void end_thread(struct writer *writer, const struct trace_step *step)
{
	struct goroutine *g = &writer->goroutines[step->thread];
	wake_up(writer, g, step->time_ns);
	emit(writer, g, GO_END, step->time_ns, NULL, 0);
	emit(writer, g, GO_PROC_STOP, step->time_ns, NULL, 0);
	g->state = GONE;
}

static void begin_wait(struct writer *writer, const struct trace_step *step)
{
	struct goroutine *g = &writer->goroutines[step->thread];
	if (writer->model->waits[step->index].is_nested || !is_there(g))
		return;
	wake_up(writer, g, step->time_ns);
	block(writer, g, step->index, step->time_ns);
}

static void end_wait(struct writer *writer, const struct trace_step *step)
{
	const struct trace_wait *wait = &writer->model->waits[step->index];
	if (!wait->is_nested && !wait->is_open)
		wake_up(writer, &writer->goroutines[step->thread], step->time_ns);
}

static void show_wake(struct writer *writer, const struct trace_step *step)
{
	const struct trace_wake *wake = &writer->model->wakes[step->index];
	struct goroutine *waker = actor(writer, step->thread);
	uint32_t interrupted = TRACE_NONE;
	for (uint32_t i = wake->first_woken; waker && i != TRACE_NONE;
	     i = writer->model->waits[i].next_woken) {
		struct goroutine *woken = &writer->goroutines[writer->model->waits[i].thread];
		if (woken->state != WAITING || woken->wait != i)
			continue;
		if (interrupted == TRACE_NONE)
			interrupted = wake_up(writer, waker, step->time_ns);
		emit(writer, waker, GO_UNBLOCK_LOCAL, step->time_ns,
		     GO_ARGUMENTS(woken->id, go_tables_stack(&writer->tables, wake->stack)));
		woken->state = RUNNABLE;
	}
	if (waker)
		wait_on(writer, waker, interrupted, step->time_ns);
}

static void show_region(struct writer *writer, const struct trace_step *step)
{
	const struct trace_region *region = &writer->model->regions[step->index];
	struct goroutine *g = actor(writer, step->thread);
	bool is_end = step->kind == TRACE_STEP_REGION_END;
	/* One that is open stays so: the reader ends it with the trace. */
	if (!g || (is_end && region->is_open))
		return;
	uint32_t interrupted = wake_up(writer, g, step->time_ns);
	emit(writer, g, GO_REGION, step->time_ns,
	     GO_ARGUMENTS(region->task, is_end, go_tables_text(&writer->tables, region->type),
			  go_tables_stack(&writer->tables, is_end ? region->end_stack : region->stack)));
	wait_on(writer, g, interrupted, step->time_ns);
}

static void show_task(struct writer *writer, const struct trace_step *step)
{
	const struct trace_task *task = &writer->model->tasks[step->index];
	struct goroutine *g = actor(writer, step->thread);
	bool is_end = step->kind == TRACE_STEP_TASK_END;
	if (!g || (is_end ? task->ended_by == TRACE_NONE : task->begun_by == TRACE_NONE))
		return;
	uint32_t interrupted = wake_up(writer, g, step->time_ns);
	if (is_end)
		emit(writer, g, GO_TASK_END, step->time_ns,
		     GO_ARGUMENTS(task->id, go_tables_stack(&writer->tables, task->end_stack)));
	else
		emit(writer, g, GO_TASK_BEGIN, step->time_ns,
		     GO_ARGUMENTS(task->id, task->parent, go_tables_text(&writer->tables, task->type),
				  go_tables_stack(&writer->tables, task->stack)));
	wait_on(writer, g, interrupted, step->time_ns);
}

static void show_heap(struct writer *writer, const struct trace_step *step)
{
	struct goroutine *g = actor(writer, step->thread);
	if (g)
		emit(writer, g, GO_HEAP, step->time_ns,
		     GO_ARGUMENTS(writer->model->heap[step->index].live_bytes));
}

static void show_log(struct writer *writer, uint32_t thread, uint64_t time_ns, uint64_t task,
		     const char *category, const char *message, uint32_t stack)
{
	struct goroutine *g = actor(writer, thread);
	if (!g)
		return;
	uint32_t interrupted = wake_up(writer, g, time_ns);
	emit(writer, g, GO_LOG, time_ns,
	     GO_ARGUMENTS(task, go_tables_text(&writer->tables, category),
			  go_tables_stack(&writer->tables, stack)));
	go_batch_text(&g->batch, message);
	wait_on(writer, g, interrupted, time_ns);
}

static void show_event(struct writer *writer, const struct trace_step *step)
{
	const struct trace_event *event = &writer->model->events.items[step->index];
	char text[CPROF_TRACE_TEXT_MAX + 32];
	switch ((enum cprof_event_kind)event->kind) {
	case CPROF_EVENT_LOG:
		show_log(writer, step->thread, step->time_ns, event->a, event->text, event->message,
			 event->stack);
		break;
	case CPROF_EVENT_FORK:
		if (event->a)
			snprintf(text, sizeof text, "%" PRIu64 "%s%s", event->a, event->text[0] ? " " : "",
				 event->text);
		else
			snprintf(text, sizeof text, "%s", event->text);
		show_log(writer, step->thread, step->time_ns, 0, "fork", text, event->stack);
		break;
	case CPROF_EVENT_SIGNAL:
	case CPROF_EVENT_SIGNAL_TAKEN:
		trace_signal_text(event, text);
		show_log(writer, step->thread, step->time_ns, 0,
			 event->kind == CPROF_EVENT_SIGNAL ? "signal" : "signal taken", text, event->stack);
		break;
	case CPROF_EVENT_EXEC:
		show_log(writer, step->thread, step->time_ns, 0, "exec", event->text, event->stack);
		break;
	case CPROF_EVENT_CPU:
		if (is_there(&writer->goroutines[step->thread]))
			go_batch_untimed(&writer->own, GO_CPU_SAMPLE,
					 GO_ARGUMENTS(0, go_clock_next(&writer->clock, step->time_ns),
						      processor(step->thread),
						      writer->goroutines[step->thread].id,
						      go_tables_stack(&writer->tables, event->stack)));
		break;
	default:
		break;
	}
}

static void show_gap(struct writer *writer, const struct trace_step *step)
{
	char text[64];
	uint64_t events = writer->model->input->gaps[step->index].events;
	if (events)
		snprintf(text, sizeof text, "%" PRIu64 " events dropped", events);
	else
		snprintf(text, sizeof text, "what follows could not be written");
	show_log(writer, TRACE_NONE, step->time_ns, 0, "cprof",
		 step->kind == TRACE_STEP_GAP_BEGIN ? text : "recording again", 0);
}

static void show_missing_threads(struct writer *writer, uint64_t time_ns)
{
	char text[96];
	if (!writer->model->input->missing_threads)
		return;
	snprintf(text, sizeof text, "%" PRIu64 " threads are missing: no slot was free (CPROF_MEM)",
		 writer->model->input->missing_threads);
	show_log(writer, TRACE_NONE, time_ns, 0, "cprof", text, 0);
}

/* Go has nothing like locks that are held. */
static void (*const shows[])(struct writer *, const struct trace_step *) = {
	[TRACE_STEP_THREAD_START] = start_thread,
	[TRACE_STEP_THREAD_END] = end_thread,
	[TRACE_STEP_WAIT_BEGIN] = begin_wait,
	[TRACE_STEP_WAIT_END] = end_wait,
	[TRACE_STEP_WAKE] = show_wake,
	[TRACE_STEP_REGION_BEGIN] = show_region,
	[TRACE_STEP_REGION_END] = show_region,
	[TRACE_STEP_TASK_BEGIN] = show_task,
	[TRACE_STEP_TASK_END] = show_task,
	[TRACE_STEP_HEAP] = show_heap,
	[TRACE_STEP_EVENT] = show_event,
	[TRACE_STEP_GAP_BEGIN] = show_gap,
	[TRACE_STEP_GAP_END] = show_gap,
};

/* Thread ids are goroutine ids, but for those that were used before. */
static void number_goroutines(struct writer *writer)
{
	struct u64_map taken = {0};
	for (uint32_t i = 0; i < writer->model->thread_count; i++) {
		uint32_t ignored;
		uint64_t id = writer->model->threads[i].tid;
		if (id == 0 || u64_map_find(&taken, id, &ignored))
			id = (uint64_t)UINT32_MAX + 1 + i;
		if (u64_map_put(&taken, id, i) < 0)
			writer->is_failed = true;
		writer->goroutines[i].id = id;
	}
	u64_map_fini(&taken);
}

/* ---- all ----------------------------------------------------------------------------------------- */

/* Makes all batches. */
static void write_all(struct writer *writer)
{
	const struct trace_model *model = writer->model;
	size_t processors = model->thread_count + 1;
	/* Readers take a 0 for no time. */
	uint64_t from_ns = model->input->from_ns ? model->input->from_ns : 1;
	go_batch_begin(&writer->own, 0, from_ns);
	go_batch_untimed(&writer->own, GO_FREQUENCY, GO_ARGUMENTS(UINT64_C(1000000000)));
	go_batch_add(&writer->own, GO_MAXPROCS, go_clock_next(&writer->clock, from_ns),
		     GO_ARGUMENTS(processors, 0));
	number_goroutines(writer);
	trace_first_functions(model, writer->symbols, writer->first_functions);
	bool is_first = true;
	for (size_t i = 0; i < model->step_count; i++) {
		if (shows[model->steps[i].kind])
			shows[model->steps[i].kind](writer, &model->steps[i]);
		/* By the first thread there is. */
		if (is_first && model->steps[i].kind == TRACE_STEP_THREAD_START) {
			show_missing_threads(writer, model->steps[i].time_ns);
			is_first = false;
		}
	}
	/* Readers end the trace with its last event. */
	go_batch_add(&writer->own, GO_MAXPROCS, go_clock_next(&writer->clock, model->input->until_ns),
		     GO_ARGUMENTS(processors, 0));
	go_tables_write(&writer->tables, &writer->own, writer->first_functions,
			(uint32_t)model->thread_count);
	writer->is_failed |= writer->tables.is_failed || writer->own.bytes.is_failed ||
			     writer->symbols->tables.is_failed;
	for (size_t i = 0; i < model->thread_count; i++)
		writer->is_failed |= writer->goroutines[i].batch.bytes.is_failed;
}

static int put_all(const struct writer *writer, const struct trace_sink *sink)
{
	int error = sink->put(sink->context, HEADER, sizeof HEADER);
	if (!error)
		error = sink->put(sink->context, writer->own.bytes.bytes, writer->own.bytes.size);
	for (size_t i = 0; i < writer->model->thread_count && !error; i++) {
		const struct byte_buffer *bytes = &writer->goroutines[i].batch.bytes;
		if (bytes->size)
			error = sink->put(sink->context, bytes->bytes, bytes->size);
	}
	return error;
}

int trace_go_write(const struct trace_model *model, struct trace_symbols *symbols,
		   const struct trace_sink *sink)
{
	struct writer writer = {.model = model, .symbols = symbols, .tables = {.symbols = symbols}};
	writer.goroutines = calloc(model->thread_count + 1, sizeof *writer.goroutines);
	writer.first_functions = calloc(model->thread_count + 1, sizeof *writer.first_functions);
	int error = writer.goroutines && writer.first_functions ? 0 : -ENOMEM;
	if (!error) {
		write_all(&writer);
		error = writer.is_failed ? -ENOMEM : put_all(&writer, sink);
		for (size_t i = 0; i < model->thread_count; i++)
			byte_buffer_free(&writer.goroutines[i].batch.bytes);
	}
	free(writer.goroutines);
	free(writer.first_functions);
	go_tables_fini(&writer.tables);
	byte_buffer_free(&writer.own.bytes);
	return error;
}
