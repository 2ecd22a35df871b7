/* SPDX-License-Identifier: MIT */
/*
 * Written against include/ and collector/trace.h only.
 *
 * Context: tests; see fake_trace.h.
 */
#include "fake_trace.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_image.h"
#include "fixture.h"
#include "perf_map.h"

#define THREADS_MAX 4096
#define GAPS_MAX 64
#define FUNCTIONS_MAX 256
#define FUNCTION_BYTES 16

struct trace_input fake_trace;

static struct fake_segment segment;
static struct segment_reader reader;
static struct cprof_trace_chunk *chunks;
static size_t chunk_room;
static struct trace_thread slots[THREADS_MAX];
static struct trace_gap gaps[GAPS_MAX];
static size_t chunk_of[THREADS_MAX]; /* index + 1 of the thread's last one, 0: none */
static char *functions[FUNCTIONS_MAX];
static size_t function_count;
static char perfetto_text[PATH_MAX];

void fake_trace_begin(uint64_t from_ns, uint64_t until_ns)
{
	/* Tests run in the source's directory. */
	cr_assert_not_null(realpath("tests/support/perfetto_text.py", perfetto_text));
	fake_segment_create(&segment, CPROF_SEGMENT_BYTES_MIN);
	reader = fake_reader(&segment);
	memset(slots, 0, sizeof slots);
	memset(chunk_of, 0, sizeof chunk_of);
	function_count = 0;
	chunk_room = 0;
	chunks = NULL;
	fake_trace = (struct trace_input){.threads = slots,
					  .gaps = gaps,
					  .from_ns = from_ns,
					  .until_ns = until_ns,
					  .realtime_offset_ns = 1700000000000000000,
					  .pid = 4242,
					  .process_name = "app",
					  .reader = &reader};
}

void fake_trace_end(void)
{
	segment_reader_close(&reader);
	fake_segment_destroy(&segment);
	free(chunks);
	while (function_count)
		free(functions[--function_count]);
}

void fake_trace_open(void)
{
	fixture_begin();
	fake_trace_begin(1000 * FAKE_MS, 2000 * FAKE_MS);
}

void fake_trace_close(void)
{
	fake_trace_end();
	fixture_end();
}

uint32_t fake_trace_thread(uint32_t tid, const char *name)
{
	cr_assert_lt(fake_trace.thread_count, THREADS_MAX);
	uint32_t thread = (uint32_t)fake_trace.thread_count++;
	slots[thread] = (struct trace_thread){.slot = thread, .tid = tid, .generation = 1, .is_live = true};
	strncpy(slots[thread].name, name, sizeof slots[thread].name - 1);
	return thread;
}

struct trace_thread *fake_trace_slot(uint32_t thread)
{
	return &slots[thread];
}

static uint64_t function(const char *name)
{
	size_t i = 0;
	while (i < function_count && strcmp(functions[i], name) != 0)
		i++;
	if (i == function_count) {
		cr_assert_lt(function_count, FUNCTIONS_MAX);
		functions[function_count++] = strdup(name);
	}
	return (i + 1) * FUNCTION_BYTES;
}

uint32_t fake_trace_stack(const char *names)
{
	uint64_t frames[CPROF_STACK_FRAMES_MAX];
	uint16_t count = 0;
	char *copy = strdup(names);
	char *rest = copy;
	for (char *name; (name = strsep(&rest, ";"));)
		frames[count++] = cprof_frame(CPROF_MODULE_NONE, function(name)) | CPROF_FRAME_EXACT;
	free(copy);
	return fake_stack(&segment, frames, count, 0);
}

void fake_trace_next_chunk(uint32_t thread)
{
	if (fake_trace.chunk_count == chunk_room) {
		chunk_room = chunk_room ? 2 * chunk_room : 16;
		chunks = reallocarray(chunks, chunk_room, sizeof *chunks);
		cr_assert_not_null(chunks);
	}
	size_t before = chunk_of[thread];
	size_t index = fake_trace.chunk_count++;
	memset(&chunks[index], 0, sizeof chunks[index]);
	store_relaxed(&chunks[index].state, (uint64_t)(index + 1) << CPROF_CHUNK_CLAIM_SHIFT);
	chunks[index].previous = before;
	chunks[index].slot = slots[thread].slot;
	chunks[index].generation = slots[thread].generation;
	chunks[index].tid = slots[thread].tid;
	chunk_of[thread] = index + 1;
	fake_trace.chunks = chunks;
}

struct cprof_trace_chunk *fake_trace_chunk(size_t index)
{
	return &chunks[index];
}

void fake_trace_event(uint32_t thread, struct fake_event event)
{
	char text[2 * CPROF_TRACE_TEXT_MAX];
	int size = snprintf(text, sizeof text, "%s%s", event.category ? event.category : "",
			    event.text ? event.text : "");
	uint32_t more = ((uint32_t)size + CPROF_EVENT_TEXT_BYTES - 1) / CPROF_EVENT_TEXT_BYTES;
	if (!chunk_of[thread] ||
	    load_relaxed(&chunks[chunk_of[thread] - 1].used) + 1 + more > CPROF_TRACE_CHUNK_EVENTS)
		fake_trace_next_chunk(thread);
	struct cprof_trace_chunk *chunk = &chunks[chunk_of[thread] - 1];
	struct cprof_event *to = &chunk->events[add_relaxed(&chunk->used, 1 + more)];
	to->time_ns = event.at;
	to->a = event.a;
	to->b = event.category ? strlen(event.category) : event.b;
	to->stack = event.stack;
	store_relaxed(&to->head, cprof_event_head(event.kind, event.what, event.flags, more));
	for (uint32_t i = 0; i < more; i++) {
		uint32_t left = (uint32_t)size - i * CPROF_EVENT_TEXT_BYTES;
		uint32_t bytes = left < CPROF_EVENT_TEXT_BYTES ? left : CPROF_EVENT_TEXT_BYTES;
		memcpy((char *)&to[1 + i] + CPROF_EVENT_TEXT_OFFSET, text + i * CPROF_EVENT_TEXT_BYTES,
		       bytes);
		store_relaxed(&to[1 + i].head, cprof_event_head(CPROF_EVENT_TEXT, bytes, 0, 0));
	}
}

void fake_trace_hand_over(const char *lock_stack, const char *unlock_stack)
{
	uint32_t holder = fake_trace_thread(4242, "app");
	uint32_t waiter = fake_trace_thread(4243, "worker");
	uint32_t lock = fake_trace_stack(lock_stack);
	uint32_t unlock = fake_trace_stack(unlock_stack);
	FAKE_EVENT(holder, .at = 1300 * FAKE_MS, .kind = CPROF_EVENT_WAKE, .what = CPROF_WAIT_MUTEX, .a = 1,
		   .b = FAKE_LOCK, .stack = unlock);
	FAKE_EVENT(waiter, .at = 1301 * FAKE_MS, .kind = CPROF_EVENT_WAIT, .what = CPROF_WAIT_MUTEX,
		   .a = 101 * FAKE_MS, .b = FAKE_LOCK, .stack = lock);
}

void fake_trace_gap(uint64_t from_ns, uint64_t until_ns, uint64_t events)
{
	cr_assert_lt(fake_trace.gap_count, GAPS_MAX);
	gaps[fake_trace.gap_count++] = (struct trace_gap){from_ns, until_ns, events};
}

void fake_trace_write(enum trace_format format, const char *name)
{
	char map[FUNCTIONS_MAX * 64];
	size_t map_bytes = 0;
	for (size_t i = 0; i < function_count; i++)
		map_bytes += (size_t)snprintf(map + map_bytes, sizeof map - map_bytes, "%zx %x %s\n",
					      (i + 1) * FUNCTION_BYTES, FUNCTION_BYTES, functions[i]);
	struct perf_map *jit = perf_map_parse(map, map_bytes);
	fake_trace.jit = jit;
	void *bytes;
	size_t size;
	cr_assert_eq(trace_encode(&fake_trace, format, &bytes, &size), 0);
	FILE *file = fopen(fixture_path(name), "w");
	cr_assert(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
	free(bytes);
	perf_map_free(jit);
}

static unsigned go_minor(void)
{
	unsigned minor = 0;
	if (!fixture_has("go"))
		cr_skip_test("no go");
	cr_assert_eq(sscanf(fixture_run("go env GOVERSION"), "go1.%u", &minor), 1);
	return minor;
}

char *fake_trace_go_events(const char *name)
{
	/* Older ones print them in another way. */
	if (go_minor() < 22)
		cr_skip_test("no go of 1.22 or later");
	return fixture_run("go tool trace -d=parsed %s 2>&1", name);
}

char *fake_trace_go_waits(const char *name)
{
	return fixture_run("go tool trace -d%s %s >/dev/null && go tool trace -pprof=sync %s >%s.sync && "
			   "go tool pprof -traces %s.sync 2>&1",
			   go_minor() < 22 ? "" : "=parsed", name, name, name, name);
}

char *fake_trace_perfetto_text(const char *name)
{
	return fixture_run("python3 '%s' %s 2>&1", perfetto_text, name);
}
