/* SPDX-License-Identifier: MIT */
/*
 * Written against include/ only, like fake_segment.c.
 *
 * Context: tests.
 */
#include "fake_tracer.h"

#include <string.h>
#include <time.h>

static uint64_t monotonic_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct cprof_trace_chunk *fake_chunk(const struct fake_segment *fake, uint32_t index)
{
	return (struct cprof_trace_chunk *)(void *)(fake->base + fake->geometry.trace_offset) + index;
}

void fake_tracer_on(struct fake_segment *fake, uint32_t chunk_count, uint32_t bits)
{
	struct cprof_control *control = fake_control(fake);
	control->trace_chunk_count = chunk_count;
	control->flight_age_ns = 10000000000;
	store_relaxed(&control->trace, bits);
	store_relaxed(&control->trace_asked, bits);
}

struct fake_tracer fake_tracer_begin(struct fake_segment *fake, uint32_t tid)
{
	struct fake_tracer tracer = {.fake = fake, .slot = fake_thread_start(fake), .tid = tid};
	store_relaxed(&fake_thread(fake, tracer.slot)->tid, tid);
	store_relaxed(&fake_thread(fake, tracer.slot)->generation, 1);
	return tracer;
}

static bool is_streamed(const struct fake_tracer *tracer)
{
	return load_relaxed(&fake_control(tracer->fake)->trace) & CPROF_TRACE_STREAM;
}

static void close_chunk(struct fake_tracer *tracer)
{
	if (!tracer->chunk)
		return;
	struct cprof_trace_chunk *chunk = fake_chunk(tracer->fake, tracer->chunk - 1);
	uint64_t state = load_relaxed(&chunk->state) & ~CPROF_CHUNK_OPEN;
	store_release(&chunk->state, state | (is_streamed(tracer) ? CPROF_CHUNK_UNREAD : 0));
	tracer->chunk = 0;
}

static bool take_chunk(struct fake_tracer *tracer)
{
	struct cprof_control *control = fake_control(tracer->fake);
	uint64_t previous = 0;
	if (tracer->chunk)
		previous = load_relaxed(&fake_chunk(tracer->fake, tracer->chunk - 1)->state) >>
			   CPROF_CHUNK_CLAIM_SHIFT;
	close_chunk(tracer);
	for (uint32_t tried = 0; tried < control->trace_chunk_count; tried++) {
		uint64_t claim = add_relaxed(&control->trace_claims, 1) + 1;
		uint32_t index = (uint32_t)((claim - 1) % control->trace_chunk_count);
		struct cprof_trace_chunk *chunk = fake_chunk(tracer->fake, index);
		uint64_t state = load_relaxed(&chunk->state);
		if (state & CPROF_CHUNK_OPEN || (is_streamed(tracer) && state & CPROF_CHUNK_UNREAD))
			continue;
		if (!cas_acq_rel(&chunk->state, &state, claim << CPROF_CHUNK_CLAIM_SHIFT | CPROF_CHUNK_OPEN))
			continue;
		chunk->generation = 1;
		chunk->slot = tracer->slot;
		chunk->tid = tracer->tid;
		chunk->previous = previous;
		for (uint32_t i = 0; i < CPROF_TRACE_CHUNK_EVENTS; i++)
			store_relaxed(&chunk->events[i].head, 0);
		store_release(&chunk->used, 0);
		tracer->chunk = index + 1;
		return true;
	}
	store_release(&control->trace_gap_since_ns, monotonic_ns());
	return false;
}

bool fake_tracer_event(struct fake_tracer *tracer, uint32_t kind, uint64_t time_ns, uint64_t a, uint64_t b)
{
	struct cprof_control *control = fake_control(tracer->fake);
	bool is_full = !tracer->chunk || load_relaxed(&fake_chunk(tracer->fake, tracer->chunk - 1)->used) >=
						 CPROF_TRACE_CHUNK_EVENTS;
	if (load_acquire(&control->trace_gap_since_ns) || (is_full && !take_chunk(tracer))) {
		add_relaxed(&control->counters[CPROF_LOST_TRACE_EVENTS], 1);
		return false;
	}
	struct cprof_trace_chunk *chunk = fake_chunk(tracer->fake, tracer->chunk - 1);
	struct cprof_event *event = &chunk->events[add_relaxed(&chunk->used, 1)];
	event->stack = 0;
	event->time_ns = time_ns;
	event->a = a;
	event->b = b;
	store_release(&event->head, cprof_event_head(kind, 0, 0, 0));
	return true;
}

uint32_t fake_tracer_events(struct fake_tracer *tracer, uint32_t count, uint64_t time_ns)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < count; i++)
		kept += fake_tracer_event(tracer, CPROF_EVENT_CPU, time_ns + i, i, 0);
	return kept;
}

void fake_tracer_end(struct fake_tracer *tracer)
{
	close_chunk(tracer);
	fake_thread_end(tracer->fake, tracer->slot);
}
