/* SPDX-License-Identifier: MIT */
/*
 * Numbers: first the few that every process has, then two for each thread, then one for
 * each lock, then lanes as far as they are needed.
 *
 * Context: collector; see perfetto_tracks.h.
 */
#include "perfetto_tracks.h"

#include <inttypes.h>
#include <stdio.h>

#include "trace_perfetto.h"

struct describer {
	const struct trace_model *model;
	struct perfetto_packets *packets;
	uint64_t time_ns;
};

uint64_t perfetto_track(const struct trace_model *model, uint64_t number)
{
	return (uint64_t)model->input->pid << 32 | number;
}

uint64_t perfetto_track_of_thread(const struct trace_model *model, uint32_t thread, uint32_t which)
{
	return perfetto_track(model,
			      PERFETTO_FIXED_TRACKS + (uint64_t)thread * PERFETTO_TRACKS_PER_THREAD + which);
}

uint64_t perfetto_track_of_lock(const struct trace_model *model, uint32_t lock)
{
	return perfetto_track_of_thread(model, (uint32_t)model->thread_count, 0) + lock;
}

uint64_t perfetto_track_of_lane(const struct trace_model *model, uint32_t lane)
{
	return perfetto_track_of_lock(model, (uint32_t)model->lock_count) + lane;
}

static void describe(struct describer *describer, uint64_t uuid, const char *name, uint64_t parent)
{
	struct byte_buffer *body = &describer->packets->body;
	proto_varint(body, TRACK_UUID, uuid);
	if (name)
		proto_string(body, TRACK_NAME, name);
	if (parent)
		proto_varint(body, TRACK_PARENT, parent);
}

static void end_description(struct describer *describer)
{
	perfetto_packets_flush(describer->packets, describer->time_ns, PACKET_TRACK_DESCRIPTOR);
}

static void describe_counter(struct describer *describer, uint64_t number, const char *name, uint64_t unit)
{
	struct byte_buffer *body = &describer->packets->body;
	describe(describer, perfetto_track(describer->model, number), name,
		 perfetto_track(describer->model, PERFETTO_TRACK_OF_PROCESS));
	size_t counter = proto_begin(body, TRACK_COUNTER);
	proto_varint(body, COUNTER_UNIT, unit);
	proto_end(body, counter);
	end_description(describer);
}

static void describe_process(struct describer *describer)
{
	const struct trace_input *input = describer->model->input;
	struct byte_buffer *body = &describer->packets->body;
	struct trace_symbols *symbols = describer->packets->symbols;
	describe(describer, perfetto_track(describer->model, PERFETTO_TRACK_OF_PROCESS), NULL, 0);
	size_t process = proto_begin(body, TRACK_PROCESS);
	proto_varint(body, PROCESS_PID, input->pid);
	proto_string(body, PROCESS_NAME,
		     trace_symbols_text(symbols, trace_symbols_string(symbols, input->process_name)));
	proto_end(body, process);
	end_description(describer);
	if (describer->model->heap_count)
		describe_counter(describer, PERFETTO_TRACK_OF_HEAP, PERFETTO_HEAP, UNIT_BYTES);
	describe_counter(describer, PERFETTO_TRACK_OF_THREAD_COUNT, PERFETTO_THREADS, UNIT_COUNT);
	if (input->gap_count || input->missing_threads) {
		describe(describer, perfetto_track(describer->model, PERFETTO_TRACK_OF_GAPS), PERFETTO_GAPS,
			 perfetto_track(describer->model, PERFETTO_TRACK_OF_PROCESS));
		end_description(describer);
	}
}

static void describe_thread(struct describer *describer, uint32_t index)
{
	const struct trace_model_thread *thread = &describer->model->threads[index];
	struct byte_buffer *body = &describer->packets->body;
	describe(describer, perfetto_track_of_thread(describer->model, index, PERFETTO_THREAD_ITSELF), NULL,
		 0);
	size_t entry = proto_begin(body, TRACK_THREAD);
	proto_varint(body, THREAD_PID, describer->model->input->pid);
	proto_varint(body, THREAD_TID, thread->tid);
	if (thread->name[0])
		proto_string(body, THREAD_NAME, thread->name);
	proto_end(body, entry);
	end_description(describer);
	describe(describer, perfetto_track_of_thread(describer->model, index, PERFETTO_THREAD_WAITS),
		 PERFETTO_WAITS, perfetto_track_of_thread(describer->model, index, PERFETTO_THREAD_ITSELF));
	end_description(describer);
}

static void describe_lock(struct describer *describer, uint32_t index)
{
	char name[64];
	snprintf(name, sizeof name, "mutex 0x%" PRIx64, describer->model->locks[index].object);
	describe(describer, perfetto_track_of_lock(describer->model, index), name,
		 perfetto_track(describer->model, PERFETTO_TRACK_OF_PROCESS));
	end_description(describer);
}

void perfetto_describe_all(const struct trace_model *model, struct perfetto_packets *packets)
{
	struct describer describer = {model, packets, model->input->from_ns};
	describe_process(&describer);
	for (uint32_t i = 0; i < model->thread_count; i++)
		if (model->threads[i].is_shown)
			describe_thread(&describer, i);
	for (uint32_t i = 0; i < model->lock_count; i++)
		if (model->locks[i].is_shown)
			describe_lock(&describer, i);
}

void perfetto_describe_lane(const struct trace_model *model, struct perfetto_packets *packets, uint32_t lane,
			    uint64_t time_ns)
{
	struct describer describer = {model, packets, time_ns};
	describe(&describer, perfetto_track_of_lane(model, lane), PERFETTO_TASKS,
		 perfetto_track(model, PERFETTO_TRACK_OF_PROCESS));
	end_description(&describer);
}
