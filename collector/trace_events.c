/* SPDX-License-Identifier: MIT */
/*
 * The chunks of one thread are put in the order in which it took them; its events keep
 * their order within them where their times are equal.  Then all are sorted by time:
 * handlers fill chunks of their own.
 *
 * Context: collector; see trace_events.h.
 */
#include "trace_events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "lean_sort.h"
#include "utf8.h"

/* A chunk with its place among those of its thread. */
struct held_chunk {
	const struct cprof_trace_chunk *chunk;
	uint64_t claim;
};

static uint32_t used_of(const struct cprof_trace_chunk *chunk)
{
	/* Relaxed: a private copy, as everywhere in this file. */
	uint32_t used = load_relaxed(&chunk->used);
	return used < CPROF_TRACE_CHUNK_EVENTS ? used : CPROF_TRACE_CHUNK_EVENTS;
}

/* ---- chunks by thread ---------------------------------------------------------------- */

static int by_thread(const void *left, const void *right)
{
	const struct held_chunk *a = left;
	const struct held_chunk *b = right;
	int order = compare_u64(a->chunk->slot, b->chunk->slot);
	if (!order)
		order = compare_u64(a->chunk->generation, b->chunk->generation);
	if (!order)
		order = compare_u64(a->claim, b->claim);
	return order ? order : compare_u64((uintptr_t)a->chunk, (uintptr_t)b->chunk);
}

/* The chunks that hold something, sorted.  NULL: no memory. */
static struct held_chunk *sort_chunks(const struct trace_input *input, size_t *out_count)
{
	struct held_chunk *chunks = calloc(input->chunk_count + 1, sizeof *chunks);
	size_t count = 0;
	for (size_t i = 0; chunks && i < input->chunk_count; i++) {
		const struct cprof_trace_chunk *chunk = &input->chunks[i];
		if (used_of(chunk))
			chunks[count++] = (struct held_chunk){chunk, load_relaxed(&chunk->state) >>
									     CPROF_CHUNK_CLAIM_SHIFT};
	}
	if (chunks)
		qsort(chunks, count, sizeof *chunks, by_thread);
	*out_count = count;
	return chunks;
}

/* ---- one chunk ------------------------------------------------------------------------ */

/*
 * The text behind an event: a copy with a terminator, and where its second part begins.
 * NUL bytes would end it too early.
 */
static int take_text(struct arena *arena, const struct cprof_event *parts, size_t part_count, uint64_t split,
		     bool is_log, struct trace_event *event)
{
	char text[CPROF_TRACE_TEXT_MAX + CPROF_EVENT_TEXT_BYTES + 2];
	size_t size = 0;
	for (size_t i = 0; i < part_count && size < CPROF_TRACE_TEXT_MAX; i++) {
		uint32_t head = load_relaxed(&parts[i].head);
		uint32_t bytes = cprof_event_what_of(head);
		if (cprof_event_kind_of(head) != CPROF_EVENT_TEXT || bytes > CPROF_EVENT_TEXT_BYTES)
			break;
		memcpy(text + size, (const char *)&parts[i] + CPROF_EVENT_TEXT_OFFSET, bytes);
		size += bytes;
	}
	for (size_t i = 0; i < size; i++)
		if (text[i] == '\0')
			text[i] = '?';
	size_t first = is_log && split < size ? split : size;
	memmove(text + first + 1, text + first, size - first);
	text[first] = '\0';
	text[size + 1] = '\0';
	event->text = first ? utf8_copy(arena, text) : "";
	if (is_log)
		event->message = utf8_copy(arena, text + first + 1);
	return event->text && (!is_log || event->message) ? 0 : -ENOMEM;
}

/* Whether it says something that makes sense. */
static bool is_valid(const struct trace_input *input, const struct trace_event *event)
{
	bool is_wait = event->kind == CPROF_EVENT_WAIT;
	if (event->kind == CPROF_EVENT_NONE || event->kind == CPROF_EVENT_TEXT ||
	    event->kind >= CPROF_EVENT_COUNT || event->time_ns == 0)
		return false;
	if ((is_wait || event->kind == CPROF_EVENT_WAKE) &&
	    (event->what == CPROF_WAIT_NONE || event->what >= CPROF_WAIT_COUNT))
		return false;
	if (is_wait && event->a >= event->time_ns)
		return false;
	/* A wait that ends too late may have begun in time. */
	return event->time_ns - (is_wait ? event->a : 0) <= input->until_ns;
}

/* Adds a chunk's events to the list, which has room for them. */
static int read_chunk(const struct trace_input *input, const struct cprof_trace_chunk *chunk, uint32_t thread,
		      bool is_after_cut, struct trace_events *events)
{
	uint32_t used = used_of(chunk);
	for (uint32_t i = 0; i < used; i++) {
		const struct cprof_event *from = &chunk->events[i];
		uint32_t head = load_relaxed(&from->head);
		uint32_t more = cprof_event_more_of(head);
		struct trace_event event = {.time_ns = from->time_ns,
					    .a = from->a,
					    .b = from->b,
					    .text = "",
					    .stack = from->stack,
					    .thread = thread,
					    .kind = (uint8_t)cprof_event_kind_of(head),
					    .what = (uint8_t)cprof_event_what_of(head),
					    .flags = (uint8_t)cprof_event_flags_of(head),
					    .is_after_cut = is_after_cut,
					    .order = (uint32_t)events->count};
		if (!is_valid(input, &event))
			continue;
		bool is_log = event.kind == CPROF_EVENT_LOG;
		if (more > used - i - 1)
			more = used - i - 1;
		if (more || is_log) {
			int error = take_text(&events->texts, from + 1, more, event.b, is_log, &event);
			if (error)
				return error;
		}
		events->items[events->count++] = event;
		is_after_cut = false;
	}
	return 0;
}

/* ---- threads ----------------------------------------------------------------------------- */

static struct trace_event_thread *add_thread(struct trace_events *events, uint32_t slot, uint64_t generation)
{
	struct trace_event_thread *thread = &events->threads[events->thread_count++];
	*thread = (struct trace_event_thread){.slot = slot, .generation = generation};
	return thread;
}

static int by_slot(const void *left, const void *right)
{
	const struct trace_event_thread *a = left;
	const struct trace_event_thread *b = right;
	int order = compare_u64(a->slot, b->slot);
	return order ? order : compare_u64(a->generation, b->generation);
}

/* Joins the slots' view to threads that left events, and adds those that left none. */
static void join_slots(const struct trace_input *input, struct trace_events *events)
{
	size_t known = events->thread_count;
	for (size_t i = 0; i < input->thread_count; i++) {
		const struct trace_thread *seen = &input->threads[i];
		struct trace_event_thread key = {.slot = seen->slot, .generation = seen->generation};
		struct trace_event_thread *thread = bsearch(&key, events->threads, known, sizeof key,
							    by_slot);
		if (!thread && seen->is_live) {
			thread = add_thread(events, seen->slot, seen->generation);
			thread->tid = seen->tid;
		}
		if (thread && !thread->seen)
			thread->seen = seen;
	}
}

/* ---- all ------------------------------------------------------------------------------------ */

/*
 * Whether events that a chunk's line of chunks went on from are missing.  A thread has a
 * line for each nesting of handlers; one that holds no regions can hide no end of one.
 */
static bool is_cut(const struct held_chunk *own, size_t own_count, const struct cprof_trace_chunk *chunk)
{
	size_t low = 0;
	size_t high = own_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (own[middle].claim < chunk->previous)
			low = middle + 1;
		else
			high = middle;
	}
	if (chunk->previous == 0 || (low < own_count && own[low].claim == chunk->previous))
		return false;
	for (uint32_t i = 0, used = used_of(chunk); i < used; i++) {
		uint32_t kind = cprof_event_kind_of(load_relaxed(&chunk->events[i].head));
		if (kind == CPROF_EVENT_REGION_BEGIN || kind == CPROF_EVENT_REGION_END)
			return true;
	}
	return false;
}

static int read_chunks(const struct trace_input *input, const struct held_chunk *chunks, size_t count,
		       struct trace_events *events)
{
	size_t room = 0;
	for (size_t i = 0; i < count; i++)
		room += used_of(chunks[i].chunk);
	events->items = calloc(room + 1, sizeof *events->items);
	events->threads = calloc(count + input->thread_count + 1, sizeof *events->threads);
	if (!events->items || !events->threads || room >= UINT32_MAX)
		return -ENOMEM;
	size_t first = 0; /* of the thread's */
	for (size_t i = 0; i < count; i++) {
		const struct cprof_trace_chunk *chunk = chunks[i].chunk;
		if (i == 0 || chunks[first].chunk->slot != chunk->slot ||
		    chunks[first].chunk->generation != chunk->generation) {
			first = i;
			add_thread(events, chunk->slot, chunk->generation);
		}
		uint32_t thread = (uint32_t)events->thread_count - 1;
		events->threads[thread].tid = chunk->tid;
		int error = read_chunk(input, chunk, thread, is_cut(chunks + first, i - first, chunk),
				       events);
		if (error)
			return error;
	}
	return 0;
}

static int by_time(const void *left, const void *right)
{
	const struct trace_event *a = left;
	const struct trace_event *b = right;
	int order = compare_u64(a->time_ns, b->time_ns);
	return order ? order : compare_u64(a->order, b->order);
}

int trace_events_read(const struct trace_input *input, struct trace_events *out_events)
{
	*out_events = (struct trace_events){0};
	size_t count;
	struct held_chunk *chunks = sort_chunks(input, &count);
	int error = chunks ? read_chunks(input, chunks, count, out_events) : -ENOMEM;
	if (!error)
		join_slots(input, out_events);
	free(chunks);
	if (!error)
		error = lean_sort(out_events->items, out_events->count, sizeof *out_events->items, by_time);
	return error;
}

void trace_events_keep_shown(struct trace_events *events)
{
	size_t kept = 0;
	for (size_t i = 0; i < events->count; i++)
		if (trace_event_is_shown(&events->items[i]))
			events->items[kept++] = events->items[i];
	events->count = kept;
	struct trace_event *shrunk = reallocarray(events->items, kept + 1, sizeof *shrunk);
	if (shrunk)
		events->items = shrunk;
}

void trace_events_free(struct trace_events *events)
{
	free(events->items);
	free(events->threads);
	arena_fini(&events->texts);
	*events = (struct trace_events){0};
}
