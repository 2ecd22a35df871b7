/* SPDX-License-Identifier: MIT */
/*
 * Events at random, many of them nonsense, in windows that cut them anywhere: whatever
 * goes in, what comes out is a trace that readers accept.  A seed that fails is named;
 * TRACE_SEEDS=from-to in the environment tries others.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_trace.h"
#include "fixture.h"

#define BEGIN_NS UINT64_C(1000000000)
#define END_NS UINT64_C(2000000000)
#define THREADS 6
#define SEEDS 4

static uint64_t state;

/* xorshift64* (Marsaglia, Vigna). */
static uint64_t any(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(2685821657736338717);
}

static uint64_t below(uint64_t end)
{
	return any() % end;
}

/* Mostly small, now and then anything. */
static uint64_t number(void)
{
	return below(16) ? below(5) : any();
}

static void add_likely(uint32_t thread, uint64_t at, const uint32_t *stacks)
{
	static const char *const texts[] = {"", "checkout", "a\xff\xfe",
					    "\xc3\xa4 long one that needs two events of text", "line\nbreak"};
	struct fake_event event = {.at = at,
				   .a = number(),
				   .b = number(),
				   .kind = (uint32_t)below(CPROF_EVENT_COUNT + 1),
				   .what = (uint32_t)below(CPROF_WAIT_COUNT + 1),
				   .flags = (uint32_t)below(2),
				   .stack = stacks[below(8)],
				   .text = below(2) ? texts[below(5)] : NULL};
	if (below(2)) {
		event.kind = CPROF_EVENT_WAIT + (uint32_t)below(2);
		event.what = CPROF_WAIT_MUTEX + (uint32_t)below(CPROF_WAIT_FUTEX);
		event.b = 1 + below(3);
	}
	if (event.kind == CPROF_EVENT_WAIT)
		event.a = below(4) ? below(50000000) : number();
	if (event.kind == CPROF_EVENT_THREAD_END && below(8))
		event.kind = CPROF_EVENT_REGION_END;
	if (event.kind == CPROF_EVENT_HEAP)
		event.a = below(2) ? below(1 << 20) : -below(1 << 20);
	fake_trace_event(thread, event);
}

/* Bytes of anything in the place of an event. */
static void add_garbage(size_t chunk)
{
	unsigned char *bytes = (unsigned char *)fake_trace_chunk(chunk)->events +
			       32 * below(CPROF_TRACE_CHUNK_EVENTS);
	for (size_t i = 0; i < 32; i++)
		bytes[i] = (unsigned char)any();
}

static void make_trace(void)
{
	uint32_t threads[THREADS];
	uint32_t stacks[8] = {0,
			      fake_trace_stack("lock;main"),
			      fake_trace_stack("lock;run;start_thread"),
			      fake_trace_stack("main"),
			      UINT32_MAX,
			      (uint32_t)any(),
			      fake_trace_stack("a;b;c;d")};
	uint64_t at[THREADS];
	fake_trace_thread(4242, "app"); /* without any thread there is nothing to show */
	fake_trace.live_heap_bytes = below(2) ? below(1 << 24) : any();
	for (uint32_t i = 0; i < THREADS; i++) {
		threads[i] = fake_trace_thread((uint32_t)below(12), below(2) ? "worker" : "\xe4");
		at[i] = BEGIN_NS - below(100000000);
		struct trace_thread *slot = fake_trace_slot(threads[i]);
		slot->slot = 1 + (uint32_t)below(4);
		slot->generation = below(3);
		slot->is_live = below(2);
		slot->what = (uint32_t)below(CPROF_WAIT_COUNT + 2);
		slot->object = number();
		slot->since_ns = below(2) ? any() : BEGIN_NS + below(END_NS - BEGIN_NS);
		slot->created_by = stacks[below(8)];
	}
	for (size_t i = 0, count = below(3000); i < count; i++) {
		size_t t = below(THREADS);
		at[t] += below(4) ? below(3000000) : 0;
		add_likely(threads[t], below(64) ? at[t] : any(), stacks);
		if (below(64) == 0)
			fake_trace_next_chunk(threads[t]);
	}
	for (size_t i = 0, count = below(40); fake_trace.chunk_count && i < count; i++)
		add_garbage(below(fake_trace.chunk_count));
	for (size_t i = 0, count = below(4); fake_trace.chunk_count && i < count; i++) {
		struct cprof_trace_chunk *chunk = fake_trace_chunk(below(fake_trace.chunk_count));
		chunk->previous = number();
		chunk->slot = (uint32_t)number();
		chunk->generation = number();
		store_relaxed(&chunk->used, (uint32_t)any());
		store_relaxed(&chunk->state, any());
	}
	for (size_t i = 0, count = below(3); i < count; i++)
		fake_trace_gap(BEGIN_NS + below(1000000000), below(2) ? any() : BEGIN_NS + below(1000000000),
			       any());
}

static void torture(uint64_t seed)
{
	state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	fake_trace_begin(BEGIN_NS + (below(2) ? below(500000000) : 0),
			 END_NS - (below(2) ? below(400000000) : 0));
	make_trace();
	cr_log_info("seed %lu", seed);
	fake_trace_write(TRACE_PERFETTO, "perfetto");
	fake_trace_write(TRACE_GO, "go");
	fake_trace_perfetto_text("perfetto");
	fake_trace_go_waits("go");
	fake_trace_end();
}

Test(trace_torture, makes_a_valid_trace_of_anything, .init = fixture_begin, .fini = fixture_end)
{
	unsigned long from = 1;
	unsigned long to = SEEDS;
	const char *seeds = getenv("TRACE_SEEDS");
	if (seeds)
		cr_assert_eq(sscanf(seeds, "%lu-%lu", &from, &to), 2, "TRACE_SEEDS: accepted is from-to");
	for (unsigned long seed = from; seed <= to; seed++)
		torture(seed);
}
