/* SPDX-License-Identifier: MIT */
/*
 * Each step becomes a packet or a few.  Tasks begin and end in any order: each takes a lane
 * that is free.
 *
 * Context: collector; see trace_perfetto.h.
 */
#include "trace_perfetto.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "perfetto_packets.h"
#include "perfetto_tracks.h"
#include "thread_waits.h"
#include "trace_signal.h"

/* So much is given to the sink at once. */
#define PIECE_BYTES ((size_t)256 << 10)

struct writer {
	const struct trace_model *model;
	struct perfetto_packets packets;
	uint32_t *lane_of_task;
	uint32_t *free_lanes; /* those below lane_count that are */
	uint32_t free_lane_count;
	uint32_t lane_count;
	uint32_t live_threads;
};

/* A flow that ends in this wait, or that begins this thread. */
static uint64_t wait_flow(const struct writer *writer, uint32_t wait)
{
	return perfetto_track(writer->model, 1 + (uint64_t)wait);
}
static uint64_t thread_flow(const struct writer *writer, uint32_t thread)
{
	return perfetto_track(writer->model, 1 + writer->model->wait_count + thread);
}

/* ---- threads ------------------------------------------------------------------------------- */

static void thread_text(const struct writer *writer, uint32_t thread, char *out_text, size_t size)
{
	const struct trace_model_thread *t = &writer->model->threads[thread];
	snprintf(out_text, size, "%s%s%u", t->name, t->name[0] ? " " : "", t->tid);
}

static void count_threads(struct writer *writer, uint64_t time_ns)
{
	perfetto_event_begin(&writer->packets, perfetto_track(writer->model, PERFETTO_TRACK_OF_THREAD_COUNT),
			     TYPE_COUNTER, NULL, NULL);
	proto_varint(&writer->packets.body, EVENT_COUNTER_VALUE, writer->live_threads);
	perfetto_event_end(&writer->packets, time_ns);
}

static void start_thread(struct writer *writer, const struct trace_step *step)
{
	const struct trace_model_thread *thread = &writer->model->threads[step->thread];
	writer->live_threads++;
	count_threads(writer, step->time_ns);
	if (!thread->is_started)
		return;
	struct perfetto_packets *packets = &writer->packets;
	bool has_creator = thread->creator != TRACE_NONE && writer->model->threads[thread->creator].is_shown;
	if (has_creator) {
		char name[64];
		thread_text(writer, step->thread, name, sizeof name);
		perfetto_event_begin(
			packets,
			perfetto_track_of_thread(writer->model, thread->creator, PERFETTO_THREAD_ITSELF),
			TYPE_INSTANT, PERFETTO_THREADS, "start thread");
		proto_fixed64(&packets->body, EVENT_FLOW, thread_flow(writer, step->thread));
		perfetto_event_stack(packets, thread->created_by);
		perfetto_event_text(packets, "thread", name);
		perfetto_event_end(packets, step->time_ns);
	}
	perfetto_event_begin(packets,
			     perfetto_track_of_thread(writer->model, step->thread, PERFETTO_THREAD_ITSELF),
			     TYPE_INSTANT, PERFETTO_THREADS, "started");
	if (has_creator)
		proto_fixed64(&packets->body, EVENT_TERMINATING_FLOW, thread_flow(writer, step->thread));
	else
		perfetto_event_stack(packets, thread->created_by);
	perfetto_event_end(packets, step->time_ns);
}

static void end_thread(struct writer *writer, const struct trace_step *step)
{
	writer->live_threads--;
	perfetto_event_begin(&writer->packets,
			     perfetto_track_of_thread(writer->model, step->thread, PERFETTO_THREAD_ITSELF),
			     TYPE_INSTANT, PERFETTO_THREADS, "ended");
	perfetto_event_end(&writer->packets, step->time_ns);
	count_threads(writer, step->time_ns);
}

/* ---- waits ----------------------------------------------------------------------------------- */

/* An address, or a number, see enum cprof_wait; none where it is any child that is waited for. */
static void describe_object(struct perfetto_packets *packets, const struct trace_wait *wait)
{
	if (wait->object == 0 || wait->what == CPROF_WAIT_SIGNAL)
		return;
	if (wait->what < CPROF_WAIT_READ)
		perfetto_event_pointer(packets, "object", wait->object);
	else if ((int32_t)wait->object > 0)
		perfetto_event_uint(packets, "object", wait->object);
}

static void begin_wait(struct writer *writer, const struct trace_step *step)
{
	const struct trace_wait *wait = &writer->model->waits[step->index];
	struct perfetto_packets *packets = &writer->packets;
	perfetto_event_begin(packets,
			     perfetto_track_of_thread(writer->model, step->thread, PERFETTO_THREAD_WAITS),
			     TYPE_SLICE_BEGIN, PERFETTO_WAITS, thread_waits_name(wait->what));
	perfetto_event_stack(packets, wait->stack);
	describe_object(packets, wait);
	if (wait->begin_ns < step->time_ns)
		perfetto_event_uint(packets, "ns before the trace", step->time_ns - wait->begin_ns);
	perfetto_event_end(packets, step->time_ns);
}

static void end_wait(struct writer *writer, const struct trace_step *step)
{
	const struct trace_model *model = writer->model;
	const struct trace_wait *wait = &model->waits[step->index];
	struct perfetto_packets *packets = &writer->packets;
	char waker[64];
	char signal[TRACE_SIGNAL_NAME_BYTES];
	perfetto_event_begin(packets,
			     perfetto_track_of_thread(writer->model, step->thread, PERFETTO_THREAD_WAITS),
			     TYPE_SLICE_END, NULL, NULL);
	if (wait->gave_up)
		perfetto_event_true(packets, "gave up");
	if (wait->is_open)
		perfetto_event_true(packets, "not over");
	if (wait->what == CPROF_WAIT_SIGNAL && wait->object) {
		trace_signal_name((uint8_t)wait->object, signal);
		perfetto_event_text(packets, "signal", signal);
	}
	if (wait->waker != TRACE_NONE) {
		thread_text(writer, model->wakes[wait->waker].thread, waker, sizeof waker);
		perfetto_event_text(packets, "woken by", waker);
	}
	perfetto_event_end(packets, step->time_ns);
	if (wait->waker == TRACE_NONE)
		return;
	/* A flow leads to the begin of what it ends in: the wait would be too early. */
	perfetto_event_begin(packets,
			     perfetto_track_of_thread(writer->model, step->thread, PERFETTO_THREAD_WAITS),
			     TYPE_INSTANT, PERFETTO_WAKES, "woken");
	proto_fixed64(&packets->body, EVENT_TERMINATING_FLOW, wait_flow(writer, step->index));
	perfetto_event_end(packets, step->time_ns);
}

static void show_wake(struct writer *writer, const struct trace_step *step)
{
	const struct trace_wake *wake = &writer->model->wakes[step->index];
	struct perfetto_packets *packets = &writer->packets;
	char name[64];
	if (wake->first_woken == TRACE_NONE)
		return;
	snprintf(name, sizeof name, "wake: %s", thread_waits_name(wake->what));
	perfetto_event_begin(packets,
			     perfetto_track_of_thread(writer->model, step->thread, PERFETTO_THREAD_ITSELF),
			     TYPE_INSTANT, PERFETTO_WAKES, name);
	for (uint32_t i = wake->first_woken; i != TRACE_NONE; i = writer->model->waits[i].next_woken)
		proto_fixed64(&packets->body, EVENT_FLOW, wait_flow(writer, i));
	perfetto_event_stack(packets, wake->stack);
	if (wake->what != CPROF_WAIT_SIGNAL)
		perfetto_event_pointer(packets, "object", wake->object);
	perfetto_event_end(packets, step->time_ns);
}

/* Who holds a lock while others wait for it, on the lock's track: only one can. */
static void show_hold(struct writer *writer, const struct trace_step *step)
{
	const struct trace_hold *hold = &writer->model->holds[step->index];
	struct perfetto_packets *packets = &writer->packets;
	bool is_begin = step->kind == TRACE_STEP_HOLD_BEGIN;
	char holder[64];
	thread_text(writer, step->thread, holder, sizeof holder);
	perfetto_event_begin(packets, perfetto_track_of_lock(writer->model, hold->lock),
			     is_begin ? TYPE_SLICE_BEGIN : TYPE_SLICE_END, is_begin ? PERFETTO_LOCKS : NULL,
			     is_begin ? holder : NULL);
	if (is_begin)
		perfetto_event_stack(packets, writer->model->wakes[hold->wake].stack);
	perfetto_event_end(packets, step->time_ns);
}

/* ---- tasks and regions ------------------------------------------------------------------------- */

/* A slice's type, which programs may leave empty. */
static const char *type_or(const char *type, const char *instead)
{
	return type[0] ? type : instead;
}

static void begin_region(struct writer *writer, const struct trace_step *step)
{
	const struct trace_region *region = &writer->model->regions[step->index];
	struct perfetto_packets *packets = &writer->packets;
	perfetto_event_begin(packets,
			     perfetto_track_of_thread(writer->model, step->thread, PERFETTO_THREAD_ITSELF),
			     TYPE_SLICE_BEGIN, PERFETTO_REGIONS, type_or(region->type, "region"));
	perfetto_event_stack(packets, region->stack);
	if (region->task) {
		proto_varint(&packets->body, EVENT_CORRELATION, region->task);
		perfetto_event_uint(packets, "task", region->task);
	}
	if (region->begin_ns < step->time_ns)
		perfetto_event_uint(packets, "ns before the trace", step->time_ns - region->begin_ns);
	perfetto_event_end(packets, step->time_ns);
}

static void end_region(struct writer *writer, const struct trace_step *step)
{
	const struct trace_region *region = &writer->model->regions[step->index];
	struct perfetto_packets *packets = &writer->packets;
	perfetto_event_begin(packets,
			     perfetto_track_of_thread(writer->model, step->thread, PERFETTO_THREAD_ITSELF),
			     TYPE_SLICE_END, NULL, NULL);
	if (region->is_open || region->is_cut)
		perfetto_event_true(packets, region->is_open ? "not over" : "end not known");
	perfetto_event_end(packets, step->time_ns);
}

static void begin_task(struct writer *writer, const struct trace_step *step)
{
	const struct trace_task *task = &writer->model->tasks[step->index];
	struct perfetto_packets *packets = &writer->packets;
	uint32_t lane;
	if (writer->free_lane_count) {
		lane = writer->free_lanes[--writer->free_lane_count];
	} else {
		lane = writer->lane_count++;
		perfetto_describe_lane(writer->model, packets, lane, step->time_ns);
	}
	writer->lane_of_task[step->index] = lane;
	perfetto_event_begin(packets, perfetto_track_of_lane(writer->model, lane), TYPE_SLICE_BEGIN,
			     PERFETTO_TASKS, type_or(task->type, "task"));
	proto_varint(&packets->body, EVENT_CORRELATION, task->id);
	perfetto_event_stack(packets, task->stack);
	perfetto_event_uint(packets, "task", task->id);
	if (task->parent)
		perfetto_event_uint(packets, "parent", task->parent);
	if (step->thread != TRACE_NONE) {
		char thread[64];
		thread_text(writer, step->thread, thread, sizeof thread);
		perfetto_event_text(packets, "begun by", thread);
	}
	if (task->begun_by == TRACE_NONE)
		perfetto_event_true(packets, "begin not known");
	else if (task->begin_ns < step->time_ns)
		perfetto_event_uint(packets, "ns before the trace", step->time_ns - task->begin_ns);
	perfetto_event_end(packets, step->time_ns);
}

static void end_task(struct writer *writer, const struct trace_step *step)
{
	const struct trace_task *task = &writer->model->tasks[step->index];
	struct perfetto_packets *packets = &writer->packets;
	uint32_t lane = writer->lane_of_task[step->index];
	perfetto_event_begin(packets, perfetto_track_of_lane(writer->model, lane), TYPE_SLICE_END, NULL,
			     NULL);
	if (task->ended_by == TRACE_NONE) {
		perfetto_event_true(packets, "not over");
	} else {
		char thread[64];
		thread_text(writer, task->ended_by, thread, sizeof thread);
		perfetto_event_text(packets, "ended by", thread);
	}
	perfetto_event_end(packets, step->time_ns);
	writer->free_lanes[writer->free_lane_count++] = lane;
}

/* ---- the rest ------------------------------------------------------------------------------------- */

static void show_heap(struct writer *writer, const struct trace_step *step)
{
	perfetto_event_begin(&writer->packets, perfetto_track(writer->model, PERFETTO_TRACK_OF_HEAP),
			     TYPE_COUNTER, NULL, NULL);
	proto_varint(&writer->packets.body, EVENT_COUNTER_VALUE, writer->model->heap[step->index].live_bytes);
	perfetto_event_end(&writer->packets, step->time_ns);
}

static void show_sample(struct writer *writer, const struct trace_event *event)
{
	struct perfetto_packets *packets = &writer->packets;
	uint64_t stack = perfetto_packets_stack(packets, event->stack);
	if (stack == 0)
		return;
	proto_varint(&packets->body, SAMPLE_PID, writer->model->input->pid);
	proto_varint(&packets->body, SAMPLE_TID, writer->model->threads[event->thread].tid);
	proto_varint(&packets->body, SAMPLE_CALLSTACK, stack);
	proto_varint(&packets->body, SAMPLE_MODE, MODE_USER);
	perfetto_packets_flush(packets, event->time_ns, PACKET_PERF_SAMPLE);
}

static void show_event(struct writer *writer, const struct trace_step *step)
{
	const struct trace_event *event = &writer->model->events.items[step->index];
	struct perfetto_packets *packets = &writer->packets;
	uint64_t on = perfetto_track_of_thread(writer->model, step->thread, PERFETTO_THREAD_ITSELF);
	char text[TRACE_SIGNAL_TEXT_BYTES];
	switch ((enum cprof_event_kind)event->kind) {
	case CPROF_EVENT_CPU:
		show_sample(writer, event);
		return;
	case CPROF_EVENT_LOG:
		perfetto_event_begin(packets, on, TYPE_INSTANT, PERFETTO_LOGS, NULL);
		proto_string(&packets->body, EVENT_NAME, type_or(event->message, "log"));
		if (event->text[0])
			perfetto_event_text(packets, "category", event->text);
		if (event->a) {
			proto_varint(&packets->body, EVENT_CORRELATION, event->a);
			perfetto_event_uint(packets, "task", event->a);
		}
		break;
	case CPROF_EVENT_FORK:
		perfetto_event_begin(packets, on, TYPE_INSTANT, PERFETTO_THREADS, "fork");
		if (event->a)
			perfetto_event_uint(packets, "pid", event->a);
		if (event->text[0])
			perfetto_event_text(packets, "path", event->text);
		break;
	case CPROF_EVENT_EXEC:
		perfetto_event_begin(packets, on, TYPE_INSTANT, PERFETTO_THREADS, "exec");
		perfetto_event_text(packets, "path", event->text);
		break;
	case CPROF_EVENT_SIGNAL:
	case CPROF_EVENT_SIGNAL_TAKEN:
		trace_signal_text(event, text);
		perfetto_event_begin(packets, on, TYPE_INSTANT, PERFETTO_THREADS,
				     event->kind == CPROF_EVENT_SIGNAL ? "send signal" : "take signal");
		perfetto_event_text(packets, "signal", text);
		break;
	default:
		return;
	}
	perfetto_event_stack(packets, event->stack);
	perfetto_event_end(packets, step->time_ns);
}

static void show_gap(struct writer *writer, const struct trace_step *step)
{
	struct perfetto_packets *packets = &writer->packets;
	bool is_begin = step->kind == TRACE_STEP_GAP_BEGIN;
	perfetto_event_begin(packets, perfetto_track(writer->model, PERFETTO_TRACK_OF_GAPS),
			     is_begin ? TYPE_SLICE_BEGIN : TYPE_SLICE_END, is_begin ? PERFETTO_GAPS : NULL,
			     is_begin ? "events dropped" : NULL);
	/* How many it is that could not be written is not known. */
	if (is_begin && writer->model->input->gaps[step->index].events)
		perfetto_event_uint(packets, "events", writer->model->input->gaps[step->index].events);
	perfetto_event_end(packets, step->time_ns);
}

/* They are missing all the time: a slice around the gaps. */
static void show_missing_threads(struct writer *writer, bool is_begin)
{
	const struct trace_input *input = writer->model->input;
	struct perfetto_packets *packets = &writer->packets;
	if (!input->missing_threads)
		return;
	perfetto_event_begin(packets, perfetto_track(writer->model, PERFETTO_TRACK_OF_GAPS),
			     is_begin ? TYPE_SLICE_BEGIN : TYPE_SLICE_END, is_begin ? PERFETTO_GAPS : NULL,
			     is_begin ? PERFETTO_MISSING_THREADS : NULL);
	if (is_begin)
		perfetto_event_uint(packets, "threads", input->missing_threads);
	perfetto_event_end(packets, is_begin ? input->from_ns : input->until_ns);
}

static void (*const shows[])(struct writer *, const struct trace_step *) = {
	[TRACE_STEP_THREAD_START] = start_thread,
	[TRACE_STEP_THREAD_END] = end_thread,
	[TRACE_STEP_WAIT_BEGIN] = begin_wait,
	[TRACE_STEP_WAIT_END] = end_wait,
	[TRACE_STEP_WAKE] = show_wake,
	[TRACE_STEP_HOLD_BEGIN] = show_hold,
	[TRACE_STEP_HOLD_END] = show_hold,
	[TRACE_STEP_REGION_BEGIN] = begin_region,
	[TRACE_STEP_REGION_END] = end_region,
	[TRACE_STEP_TASK_BEGIN] = begin_task,
	[TRACE_STEP_TASK_END] = end_task,
	[TRACE_STEP_HEAP] = show_heap,
	[TRACE_STEP_EVENT] = show_event,
	[TRACE_STEP_GAP_BEGIN] = show_gap,
	[TRACE_STEP_GAP_END] = show_gap,
};

int trace_perfetto_write(const struct trace_model *model, struct trace_symbols *symbols,
			 const struct trace_sink *sink)
{
	const struct trace_input *input = model->input;
	struct writer writer = {.model = model,
				.lane_of_task = calloc(model->task_count + 1, sizeof *writer.lane_of_task),
				.free_lanes = calloc(model->task_count + 1, sizeof *writer.free_lanes)};
	struct perfetto_packets *packets = &writer.packets;
	perfetto_packets_init(packets, symbols, input->pid ? input->pid : 1);
	int error = writer.lane_of_task && writer.free_lanes ? 0 : -ENOMEM;
	if (!error) {
		perfetto_packets_clocks(packets, input->from_ns,
					input->from_ns + (uint64_t)input->realtime_offset_ns);
		perfetto_describe_all(model, packets);
		show_missing_threads(&writer, true);
	}
	for (size_t i = 0; i < model->step_count && !error; i++) {
		shows[model->steps[i].kind](&writer, &model->steps[i]);
		if (packets->out.size >= PIECE_BYTES)
			error = perfetto_packets_put(packets, sink);
	}
	if (!error) {
		show_missing_threads(&writer, false);
		error = perfetto_packets_put(packets, sink);
	}
	perfetto_packets_fini(packets);
	free(writer.lane_of_task);
	free(writer.free_lanes);
	return error;
}
