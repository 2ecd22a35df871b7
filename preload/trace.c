/* SPDX-License-Identifier: MIT */
/*
 * A chunk is found by its claim: the claim's number tells the place.  So a thread that
 * notes the number before it claims has lost nothing when a handler jumps away in between:
 * whoever comes next on that level, or gets the slot, closes it by the number.
 *
 * Context: any (async-signal-safe).
 */
#include "trace.h"

#include <string.h>

#include "process.h"
#include "real.h"
#include "segment.h"
#include "thread_private.h"

/* A window has at least so many chunks. */
#define CHUNKS_MIN 8u

/* How many events a thread drops that found no chunk before it looks again: all places are passed by. */
#define REST_EVENTS 1024u

static const atomic_u32 off_word;

FRONT_WORD const atomic_u32 *trace_word = &off_word;

/* What include/cprof.h looks at, in the program's code: the same variable. */
extern EXPORT const atomic_u32 *cprof_api_tracing __attribute__((alias("trace_word")));

/* How many chunks are gone round in: the control block's number, out of others' reach. */
static uint32_t chunk_count;

void trace_follow_segment(void)
{
	chunk_count = segment_control()->trace_chunk_count;
	fence_signal(); /* who sees the word finds the number */
	trace_word = &segment_control()->trace;
}

void trace_turn_off(void)
{
	trace_word = &off_word;
}

uint32_t trace_chunks_for(uint64_t window_bytes)
{
	uint64_t wanted = window_bytes / CPROF_TRACE_CHUNK_BYTES;
	if (wanted < CHUNKS_MIN)
		wanted = CHUNKS_MIN;
	uint32_t available = segment.geometry.trace_chunk_count;
	return wanted < available ? (uint32_t)wanted : available;
}

static struct cprof_trace_chunk *chunk_of(uint64_t claim)
{
	return segment_trace_chunk((uint32_t)((claim - 1) % chunk_count));
}

static uint64_t state_of(uint64_t claim, uint64_t flags)
{
	return claim << CPROF_CHUNK_CLAIM_SHIFT | flags;
}

/* Closes the chunk that was claimed so, if it is open. */
static void close_chunk(uint64_t claim, uint32_t traced)
{
	if (claim == 0 || chunk_count == 0)
		return;
	struct cprof_trace_chunk *chunk = chunk_of(claim);
	/* Relaxed: while it is open nobody else changes the word. */
	if (load_relaxed(&chunk->state) != state_of(claim, CPROF_CHUNK_OPEN))
		return;
	/* (C) release: after all events. */
	store_release(&chunk->state, state_of(claim, traced & CPROF_TRACE_STREAM ? CPROF_CHUNK_UNREAD : 0));
}

/* Whether a chunk in this state may be taken with a claim of this number. */
static bool is_free(uint64_t state, uint64_t claim, uint32_t traced)
{
	if (state & CPROF_CHUNK_OPEN || state >> CPROF_CHUNK_CLAIM_SHIFT > claim)
		return false;
	return !(traced & CPROF_TRACE_STREAM && state & CPROF_CHUNK_UNREAD);
}

/* The header and the zeroes of a chunk that is claimed and open. */
static void prepare(struct cprof_trace_chunk *chunk, const struct cprof_thread *slot, uint64_t previous)
{
	/* Release, all: a reader that sees one of these sees the claim. */
	store_release(&chunk->used, UINT32_C(0));
	for (uint32_t i = 0; i < CPROF_TRACE_CHUNK_EVENTS; i++)
		store_release(&chunk->events[i].head, UINT32_C(0));
	chunk->slot = (uint32_t)(slot - segment_thread(0));
	chunk->tid = load_relaxed(&slot->tid); /* its own */
	chunk->generation = load_relaxed(&slot->generation);
	chunk->previous = previous;
}

/* Closes the level's chunk and takes another. NULL: there is none. */
static COLD NOINLINE struct cprof_trace_chunk *take_chunk(struct cprof_thread *slot, uint32_t level,
							  uint32_t traced)
{
	struct thread_trace *own = &thread_private_of(slot)->trace;
	struct cprof_control *control = segment_control();
	uint64_t previous = own->claims[level];
	own->chunks[level] = NULL;
	fence_signal(); /* a chunk that is closed is written to no more */
	close_chunk(previous, traced);
	for (uint32_t i = 0; i < chunk_count; i++) {
		uint64_t claim = add_relaxed(&control->trace_claims, 1) +
				 1; /* only its being unique counts */
		struct cprof_trace_chunk *chunk = chunk_of(claim);
		uint64_t state = load_relaxed(&chunk->state); /* the CAS decides */
		if (!is_free(state, claim, traced))
			continue;
		own->claims[level] = claim;
		fence_signal(); /* noted before it is open */
		/* (A); acquire pairs with (C) of who had it before. */
		if (!cas_acq_rel(&chunk->state, &state, state_of(claim, CPROF_CHUNK_OPEN)))
			continue;
		prepare(chunk, slot, previous);
		own->used[level] = 0;
		fence_signal(); /* complete before it is used */
		own->chunks[level] = chunk;
		return chunk;
	}
	return NULL;
}

/* No chunk is to be had: the gap begins, or, where only the window is kept, this thread rests. */
static COLD NOINLINE void run_dry(struct cprof_thread *slot, uint32_t traced)
{
	uint64_t no = 0;
	if (traced & CPROF_TRACE_STREAM)
		(void)cas_acq_rel(&segment_control()->trace_gap_since_ns, &no, real_monotonic_ns());
	else
		thread_private_of(slot)->trace.rest = REST_EVENTS;
}

/* Whether the program has not written over the chunk's address. */
static ALWAYS_INLINE bool is_chunk(const struct cprof_trace_chunk *chunk)
{
	uint64_t offset = (uint64_t)(uintptr_t)chunk - (uint64_t)(uintptr_t)segment_trace_chunk(0);
	return likely(offset <= (uint64_t)(chunk_count - 1) * sizeof *chunk);
}

/* The thread's chunk of this level, if it has room for `count` events more from *out_at on; else NULL. */
static ALWAYS_INLINE struct cprof_trace_chunk *own_chunk(const struct thread_trace *own, uint32_t level,
							 uint32_t count, uint32_t *out_at)
{
	struct cprof_trace_chunk *chunk = own->chunks[level];
	*out_at = own->used[level];
	return is_chunk(chunk) && *out_at <= CPROF_TRACE_CHUNK_EVENTS - count ? chunk : NULL;
}

/* Whether everything is dropped at the moment. */
static ALWAYS_INLINE bool is_gap(uint32_t traced)
{
	/* Relaxed: an event that comes at this moment is on either side of the gap. */
	return traced & CPROF_TRACE_STREAM && load_relaxed(&segment_control()->trace_gap_since_ns) != 0;
}

/*
 * A chunk of this guard's own with room for `count` events more from *out_at on, or NULL: they
 * are dropped, and counted.
 */
static ALWAYS_INLINE struct cprof_trace_chunk *chunk_with_room(const struct guard *guard, uint32_t count,
							       uint32_t *out_at)
{
	uint32_t traced = load_relaxed(trace_word); /* as trace_is_on() */
	if (unlikely(!traced))
		return NULL;
	if (likely(!is_gap(traced) && guard->slot && guard->level < CPROF_SCRATCH_LEVELS &&
		   process_may_call())) {
		struct thread_trace *own = &thread_private_of(guard->slot)->trace;
		struct cprof_trace_chunk *chunk = own_chunk(own, guard->level, count, out_at);
		if (likely(chunk))
			return chunk;
		if (own->rest == 0) {
			*out_at = 0;
			chunk = take_chunk(guard->slot, guard->level, traced);
			if (likely(chunk))
				return chunk;
			run_dry(guard->slot, traced);
		} else {
			own->rest--;
		}
	}
	segment_count(CPROF_LOST_TRACE_EVENTS, 1);
	return NULL;
}

static ALWAYS_INLINE void fill(struct cprof_thread *slot, struct cprof_event *out_event,
			       const struct trace_event *event, uint32_t more)
{
	out_event->stack = event->stack;
	out_event->time_ns = event->time_ns ? event->time_ns
					    : tick_clock_now(&thread_private_of(slot)->moment);
	out_event->a = event->a;
	out_event->b = event->b;
	/* (B) release: pairs with (E); else the reader sees the kind before the fields. */
	store_release(&out_event->head, cprof_event_head(event->kind, event->what, event->flags, more));
}

/* The events up to this one are there from now on. */
static ALWAYS_INLINE void keep(struct cprof_thread *slot, uint32_t level, struct cprof_trace_chunk *chunk,
			       uint32_t used)
{
	thread_private_of(slot)->trace.used[level] = (uint8_t)used;
	fence_signal(); /* if a handler jumps away in between, none of these is written over */
	store_release(&chunk->used, used);
}

void trace_event(const struct guard *guard, const struct trace_event *event)
{
	uint32_t at;
	struct cprof_trace_chunk *chunk = chunk_with_room(guard, 1, &at);
	if (unlikely(!chunk))
		return;
	fill(guard->slot, &chunk->events[at], event, 0);
	keep(guard->slot, guard->level, chunk, at + 1);
}

/* What takes longer, or is dropped. */
static COLD void add_by_guard(struct cprof_thread *slot, const struct trace_event *event)
{
	const struct guard guard = {.slot = slot, .level = 0};
	trace_event(&guard, event);
}

HOT void trace_event_outermost(struct cprof_thread *slot, const struct trace_event *event)
{
	uint32_t traced = load_relaxed(trace_word); /* as trace_is_on() */
	uint32_t at;
	struct cprof_trace_chunk *chunk = own_chunk(&thread_private_of(slot)->trace, 0, 1, &at);
	if (unlikely(!traced || !chunk || is_gap(traced))) {
		add_by_guard(slot, event);
		return;
	}
	fill(slot, &chunk->events[at], event, 0);
	keep(slot, 0, chunk, at + 1);
}

/* Where in some parts the next byte is. */
struct text_cursor {
	const struct trace_text *part;
	size_t parts_left;
	size_t offset;
};

/* Moves up to `capacity` bytes. */
static uint32_t copy_text(struct text_cursor *cursor, unsigned char *bytes, uint32_t capacity)
{
	uint32_t copied = 0;
	while (copied < capacity && cursor->parts_left) {
		size_t left = cursor->part->byte_count - cursor->offset;
		size_t piece = left < capacity - copied ? left : capacity - copied;
		memcpy(bytes + copied, cursor->part->bytes + cursor->offset, piece);
		copied += (uint32_t)piece;
		cursor->offset += piece;
		if (cursor->offset == cursor->part->byte_count) {
			cursor->part++;
			cursor->parts_left--;
			cursor->offset = 0;
		}
	}
	return copied;
}

void trace_event_text(const struct guard *guard, const struct trace_event *event,
		      const struct trace_text *parts, size_t part_count)
{
	size_t byte_count = 0;
	for (size_t i = 0; i < part_count && byte_count < CPROF_TRACE_TEXT_MAX; i++)
		byte_count += parts[i].byte_count < CPROF_TRACE_TEXT_MAX ? parts[i].byte_count
									 : CPROF_TRACE_TEXT_MAX;
	if (byte_count > CPROF_TRACE_TEXT_MAX)
		byte_count = CPROF_TRACE_TEXT_MAX;
	uint32_t more = (uint32_t)(byte_count + CPROF_EVENT_TEXT_BYTES - 1) / CPROF_EVENT_TEXT_BYTES;
	uint32_t at;
	struct cprof_trace_chunk *chunk = chunk_with_room(guard, 1 + more, &at);
	if (unlikely(!chunk))
		return;
	struct text_cursor cursor = {.part = parts, .parts_left = part_count};
	for (uint32_t i = 1; i <= more; i++) {
		struct cprof_event *next = &chunk->events[at + i];
		uint32_t wanted = (uint32_t)byte_count < CPROF_EVENT_TEXT_BYTES ? (uint32_t)byte_count
										: CPROF_EVENT_TEXT_BYTES;
		uint32_t copied = copy_text(&cursor, (unsigned char *)next + CPROF_EVENT_TEXT_OFFSET, wanted);
		byte_count -= copied;
		store_release(&next->head, cprof_event_head(CPROF_EVENT_TEXT, copied, 0, 0)); /* (B) */
	}
	fill(guard->slot, &chunk->events[at], event, more);
	keep(guard->slot, guard->level, chunk, at + 1 + more);
}

void trace_slot_ends(struct cprof_thread *slot)
{
	struct thread_trace *own = &thread_private_of(slot)->trace;
	uint32_t traced = load_relaxed(&segment_control()->trace); /* as trace_is_on() */
	for (uint32_t level = 0; level < CPROF_SCRATCH_LEVELS; level++) {
		own->chunks[level] = NULL;
		close_chunk(own->claims[level], traced);
		own->claims[level] = 0;
	}
	own->rest = 0;
}

void trace_slot_begins(struct cprof_thread *slot)
{
	trace_slot_ends(slot);
}
