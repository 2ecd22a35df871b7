/* SPDX-License-Identifier: MIT */
/*
 * How many chunks are gone round in is taken from the program, but never more than the
 * geometry has room for; so nothing that it writes leads out of the area.
 *
 * Context: see trace_reader.h.
 */
#include "trace_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare.h"
#include "thread_published.h"

/* ---- chunks -------------------------------------------------------------------------------- */

uint32_t trace_reader_chunk_count(const struct segment_reader *reader)
{
	uint32_t count = segment_reader_control(reader)->trace_chunk_count;
	uint32_t room = reader->geometry.trace_chunk_count;
	return count < room ? count : room;
}

struct cprof_trace_chunk *trace_reader_chunk(const struct segment_reader *reader, uint32_t index)
{
	return (struct cprof_trace_chunk *)(void *)(reader->base + reader->geometry.trace_offset) + index;
}

bool trace_reader_next_run(const struct segment_reader *reader, uint32_t from, uint32_t end,
			   uint32_t *out_first, uint32_t *out_end)
{
	const uint64_t area = reader->geometry.trace_offset;
	uint64_t start, stop;
	if (!segment_reader_next_data(reader, area + (uint64_t)from * CPROF_TRACE_CHUNK_BYTES,
				      area + (uint64_t)end * CPROF_TRACE_CHUNK_BYTES, &start, &stop))
		return false;
	*out_first = (uint32_t)((start - area) / CPROF_TRACE_CHUNK_BYTES);
	*out_end = (uint32_t)((stop - area + CPROF_TRACE_CHUNK_BYTES - 1) / CPROF_TRACE_CHUNK_BYTES);
	return true;
}

bool trace_reader_copy_chunk(const struct cprof_trace_chunk *chunk, struct cprof_trace_chunk *out_copy)
{
	atomic_u64 *state = (atomic_u64 *)&chunk->state;
	/* (D) acquire: pairs with (C) and (A): what the claim's thread wrote is seen. */
	uint64_t before = load_acquire(state);
	if (before >> CPROF_CHUNK_CLAIM_SHIFT == 0)
		return false;
	/* Acquire: an event below it was reserved; whether it is there, it says itself. */
	uint32_t used = load_acquire(&chunk->used);
	if (used > CPROF_TRACE_CHUNK_EVENTS)
		used = CPROF_TRACE_CHUNK_EVENTS;
	memset(out_copy, 0, sizeof *out_copy);
	store_relaxed(&out_copy->state, before); /* nobody else's */
	out_copy->generation = chunk->generation;
	out_copy->slot = chunk->slot;
	out_copy->tid = chunk->tid;
	out_copy->previous = chunk->previous;
	store_relaxed(&out_copy->used, used); /* as above */
	for (uint32_t i = 0; i < used; i++) {
		/* (E) acquire: pairs with (B); an event without a kind is not whole. */
		uint32_t head = load_acquire(&chunk->events[i].head);
		if (cprof_event_kind_of(head) == CPROF_EVENT_NONE)
			continue;
		memcpy(&out_copy->events[i], &chunk->events[i], sizeof out_copy->events[i]);
		store_relaxed(&out_copy->events[i].head, head); /* as above */
	}
	/* Release, though nothing is written: all that was read above was read before this. */
	uint64_t after = add_release(state, UINT64_C(0));
	return after >> CPROF_CHUNK_CLAIM_SHIFT == before >> CPROF_CHUNK_CLAIM_SHIFT;
}

/* How many chunks lie in data. */
static size_t count_written(const struct segment_reader *reader, uint32_t end)
{
	size_t count = 0;
	uint32_t first, stop;
	for (uint32_t at = 0; trace_reader_next_run(reader, at, end, &first, &stop); at = stop)
		count += stop - first;
	return count;
}

int trace_reader_take(const struct segment_reader *reader, struct trace_reading *out_reading)
{
	uint32_t end = trace_reader_chunk_count(reader);
	size_t room = count_written(reader, end);
	struct trace_reading reading = {.chunks = malloc((room ? room : 1) * sizeof *reading.chunks)};
	uint32_t first, stop;
	if (!reading.chunks)
		return -ENOMEM;
	/* What is written to for the first time meanwhile is after the moment that is asked for. */
	for (uint32_t at = 0; trace_reader_next_run(reader, at, end, &first, &stop); at = stop)
		for (uint32_t i = first; i < stop && reading.chunk_count < room; i++)
			reading.chunk_count += trace_reader_copy_chunk(trace_reader_chunk(reader, i),
								       &reading.chunks[reading.chunk_count]);
	*out_reading = reading;
	return 0;
}

void trace_reading_free(struct trace_reading *reading)
{
	free(reading->chunks);
	*reading = (struct trace_reading){0};
}

/* ---- what is missing ------------------------------------------------------------------------- */

static uint64_t claim_of(const struct cprof_trace_chunk *chunk)
{
	return load_relaxed(&chunk->state) >> CPROF_CHUNK_CLAIM_SHIFT; /* a private copy */
}

static int compare_claims(const void *left, const void *right)
{
	return compare_u64(*(const uint64_t *)left, *(const uint64_t *)right);
}

static uint32_t used_of(const struct cprof_trace_chunk *chunk)
{
	uint32_t used = load_relaxed(&chunk->used); /* as above */
	return used < CPROF_TRACE_CHUNK_EVENTS ? used : CPROF_TRACE_CHUNK_EVENTS;
}

static bool has_time(const struct cprof_event *event)
{
	uint32_t kind = cprof_event_kind_of(load_relaxed(&event->head)); /* as above */
	return kind != CPROF_EVENT_NONE && kind != CPROF_EVENT_TEXT && kind < CPROF_EVENT_COUNT;
}

/* When a chunk was begun; 0: it says nothing. */
static uint64_t begin_of(const struct cprof_trace_chunk *chunk)
{
	for (uint32_t i = 0; i < used_of(chunk); i++)
		if (has_time(&chunk->events[i]))
			return chunk->events[i].time_ns;
	return 0;
}

uint64_t trace_reading_complete_from(const struct trace_reading *reading, uint64_t until_ns)
{
	uint64_t *claims = malloc((reading->chunk_count + 1) * sizeof *claims);
	uint64_t complete_ns = 0;
	if (!claims)
		return 0;
	for (size_t i = 0; i < reading->chunk_count; i++)
		claims[i] = claim_of(&reading->chunks[i]);
	qsort(claims, reading->chunk_count, sizeof *claims, compare_claims);
	for (size_t i = 0; i < reading->chunk_count; i++) {
		const struct cprof_trace_chunk *chunk = &reading->chunks[i];
		if (chunk->previous == 0 ||
		    bsearch(&chunk->previous, claims, reading->chunk_count, sizeof *claims, compare_claims))
			continue;
		/* The one before it was written over: it was left when this one was begun. */
		uint64_t begin_ns = begin_of(chunk);
		if (begin_ns > complete_ns && begin_ns <= until_ns)
			complete_ns = begin_ns;
	}
	free(claims);
	return complete_ns;
}

uint64_t trace_reading_last_event(const struct trace_reading *reading, uint64_t limit_ns)
{
	uint64_t last_ns = 0;
	for (size_t c = 0; c < reading->chunk_count; c++) {
		const struct cprof_trace_chunk *chunk = &reading->chunks[c];
		for (uint32_t i = 0; i < used_of(chunk); i++) {
			uint64_t time_ns = chunk->events[i].time_ns;
			if (has_time(&chunk->events[i]) && time_ns > last_ns && time_ns <= limit_ns)
				last_ns = time_ns;
		}
	}
	return last_ns;
}

/* ---- threads --------------------------------------------------------------------------------- */

/* As the kernel knows it now. */
static void read_name(pid_t pid, uint32_t tid, char out_name[16])
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task/%u/comm", pid, tid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t size = read(fd, out_name, 15);
	close(fd);
	out_name[size > 0 ? size : 0] = '\0';
	out_name[strcspn(out_name, "\n")] = '\0';
}

/* As the thread left it: of one that cannot be asked any more. */
static void take_name(const struct cprof_thread *slot, char out_name[16])
{
	/* Relaxed: whatever is there is shown. */
	const uint64_t words[] = {load_relaxed(&slot->name[0]), load_relaxed(&slot->name[1])};
	memcpy(out_name, words, sizeof words);
	out_name[sizeof words - 1] = '\0';
}

int trace_reader_threads(const struct segment_reader *reader, pid_t visible_pid,
			 struct trace_thread **out_threads, size_t *out_count)
{
	/* Relaxed: a thread that comes now is after the moment that is asked for. */
	uint32_t used = load_relaxed(&segment_reader_control(reader)->threads_used);
	if (used > reader->geometry.thread_count)
		used = reader->geometry.thread_count;
	struct trace_thread *threads = calloc(used ? used : 1, sizeof *threads);
	size_t count = 0;
	if (!threads)
		return -ENOMEM;
	for (uint32_t i = 0; i < used; i++) {
		const struct cprof_thread *slot = segment_reader_thread(reader, i);
		struct trace_thread *thread = &threads[count];
		struct thread_published wait;
		/* Acquire: pairs with the release of LIVE, which publishes tid. */
		uint32_t state = load_acquire(&slot->state);
		if (state != CPROF_THREAD_LIVE && state != CPROF_THREAD_ENDED)
			continue;
		*thread = (struct trace_thread){
			.slot = i,
			.tid = load_relaxed(&slot->tid),               /* published by state */
			.generation = load_relaxed(&slot->generation), /* likewise */
			.is_live = state == CPROF_THREAD_LIVE,
			.created_by = load_relaxed(&slot->created_by), /* likewise */
		};
		if (thread->is_live && thread_published_read(slot, &wait)) {
			thread->what = wait.what;
			thread->stack = wait.stack;
			thread->object = wait.object;
			thread->since_ns = wait.since_ns;
		}
		if (thread->is_live && visible_pid > 0)
			read_name(visible_pid, thread->tid, thread->name);
		if (!thread->name[0])
			take_name(slot, thread->name);
		count++;
	}
	*out_threads = threads;
	*out_count = count;
	return 0;
}
