/* SPDX-License-Identifier: MIT */
/*
 * The order of reading makes "allocated >= in use" hold for each stack while the
 * program runs: it counts an allocation (ring or totals) before it enters the block
 * into the live table.  So whatever the live table shows, read first, is counted
 * by the time the rings have been drained and the totals are read.  What can still
 * break it, a record in the shadow of an unfinished one or one that found no room,
 * is mended at the end: a block in use has been allocated.
 *
 * Tables are visited bucket by bucket where their file has data, so the work and the
 * memory are bounded by what the process really wrote, whatever it claims.
 *
 * Context: collector, main thread.
 */
#include "aggregate.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "profile_kind.h"
#include "stack_sums.h"

/* A live entry that changes this often while it is read is left out: its block comes and goes. */
#define LIVE_READ_TRIES 4

/* ---- reading the tables ------------------------------------------------------------ */

typedef int (*bucket_visitor)(const struct segment_reader *reader, uint32_t bucket, struct stack_sums *sums);

/* Calls visit for each bucket of the first levels that may hold something. */
static int visit_buckets(const struct segment_reader *reader, const struct cprof_levels *levels,
			 uint32_t levels_used, uint64_t table_offset, uint64_t bucket_bytes,
			 bucket_visitor visit, struct stack_sums *sums)
{
	/* One level more than the hint says: it is raised after the first key is in. */
	uint32_t level = levels_used < levels->level_count ? levels_used : levels->level_count - 1;
	uint32_t bucket_end = levels->first_bucket[level] + levels->bucket_mask[level] + 1;
	uint64_t table_end = table_offset + bucket_end * bucket_bytes;
	uint64_t at = table_offset;
	uint64_t start;
	uint64_t end;
	while (segment_reader_next_data(reader, at, table_end, &start, &end)) {
		/*
		 * A bucket is visited with the page its keys are in (a row of keys never crosses
		 * one).  If that is a hole it has no keys; if not, its sums may still lie in a
		 * hole behind it, and nobody looks at them before there is a key.
		 */
		uint64_t bucket = (start - table_offset + bucket_bytes - 1) / bucket_bytes;
		uint64_t last = (end - table_offset + bucket_bytes - 1) / bucket_bytes;
		for (; bucket < last; bucket++) {
			int error = visit(reader, (uint32_t)bucket, sums);
			if (error)
				return error;
		}
		at = end;
	}
	return 0;
}

/* Reads one live slot as it was at one moment.  False: nothing (certain) there. */
static bool read_live_slot(const struct cprof_live_bucket *bucket, uint32_t slot, uint64_t *out_weight,
			   uint64_t *out_value, uint64_t *out_stack_label)
{
	const struct cprof_live_payload *payload = &bucket->payload[slot];
	/* Acquire: pairs with the release that publishes the entry; the payload comes after. */
	uint64_t address = load_acquire(&bucket->address[slot]);
	for (int i = 0; i < LIVE_READ_TRIES; i++) {
		if ((address & ~CPROF_LIVE_FLAGS) == 0)
			return false;
		/* Acquire, so that none of these moves below the second look at the address. */
		uint64_t weight = load_acquire(&payload->weight);
		uint64_t value = load_acquire(&payload->value);
		uint64_t stack_label = load_acquire(&payload->stack_label);
		uint64_t again = load_acquire(&bucket->address[slot]);
		if ((again & ~CPROF_LIVE_FLAGS) == (address & ~CPROF_LIVE_FLAGS)) {
			*out_weight = weight;
			*out_value = value;
			*out_stack_label = stack_label;
			return true;
		}
		address = again;
	}
	return false;
}

static int visit_live(const struct segment_reader *reader, uint32_t bucket_index, struct stack_sums *sums)
{
	const struct cprof_live_bucket *bucket = segment_reader_live(reader, bucket_index);
	for (uint32_t slot = 0; slot < CPROF_BUCKET_SLOTS; slot++) {
		uint64_t weight;
		uint64_t value;
		uint64_t stack_label;
		if (!read_live_slot(bucket, slot, &weight, &value, &stack_label))
			continue;
		struct aggregate_sums *heap = stack_sums_at(sums, (uint32_t)(stack_label >> 32),
							    (uint32_t)stack_label & (CPROF_LABEL_IDS - 1),
							    PROFILE_HEAP);
		if (!heap)
			return -ENOMEM;
		heap->live_weight += weight;
		heap->live_value += value;
	}
	return 0;
}

/* Which profile shows a kind of totals. */
static const enum profile_kind profile_of_total[CPROF_KIND_COUNT] = {
	[CPROF_KIND_CPU] = PROFILE_CPU,
	[CPROF_KIND_ALLOC] = PROFILE_HEAP,
	[CPROF_KIND_BLOCK] = PROFILE_BLOCK,
	[CPROF_KIND_MUTEX] = PROFILE_MUTEX,
	[CPROF_KIND_THREADCREATE] = PROFILE_THREADCREATE,
};

static int visit_total(const struct segment_reader *reader, uint32_t bucket_index, struct stack_sums *sums)
{
	const struct cprof_total_bucket *bucket = segment_reader_total(reader, bucket_index);
	for (uint32_t slot = 0; slot < CPROF_BUCKET_SLOTS; slot++) {
		/* Acquire: pairs with the CAS that made the key; the stack's frames are copied later. */
		uint64_t key = load_acquire(&bucket->key[slot]);
		uint32_t kind = cprof_total_key_kind(key);
		if (key == 0 || kind == CPROF_KIND_NONE || kind >= CPROF_KIND_COUNT)
			continue;
		/* Relaxed: two halves of a sum; a snapshot may fall between any two additions. */
		const struct cprof_sums *halves = &bucket->sums[slot];
		uint64_t weight = load_relaxed(&halves->producer_weight) +
				  load_relaxed(&halves->collector_weight);
		uint64_t value = load_relaxed(&halves->producer_value) +
				 load_relaxed(&halves->collector_value);
		struct aggregate_sums *total = stack_sums_at(
			sums, cprof_total_key_stack(key), cprof_total_key_label(key), profile_of_total[kind]);
		if (!total)
			return -ENOMEM;
		total->weight += weight;
		total->value += value;
	}
	return 0;
}

/* Copies the used part of the frame arena.  NULL: no memory. */
static uint64_t *copy_frames(const struct segment_reader *reader, uint64_t *out_words, int *out_error)
{
	/* Ids count from 1, so the last stack ends one word further. */
	uint64_t words =
		load_acquire(&segment_reader_control(reader)->stacks_used); /* their frames are there */
	uint64_t words_max = reader->geometry.frames_bytes / sizeof(uint64_t);
	words = words < words_max ? words + 1 : words_max;
	uint64_t *frames = calloc(words, sizeof *frames);
	*out_error = -ENOMEM;
	if (!frames)
		return NULL;
	*out_error = segment_reader_copy(reader, reader->geometry.frames_offset, words * sizeof *frames,
					 frames);
	if (*out_error) {
		free(frames);
		return NULL;
	}
	*out_words = words;
	return frames;
}

/* ---- from sums by id to samples by content ------------------------------------------------ */

/* A stack with its sums for labels and one kind; frames points into the copied arena, NULL for "no stack". */
struct resolved {
	const struct label_set *labels; /* NULL: none */
	const uint64_t *frames;
	uint32_t frame_count;
	uint16_t flags;
	uint16_t kind; /* enum profile_kind */
	uint64_t hash; /* of the stack and the labels */
	struct aggregate_sums sums;
};

/* An id that does not denote a stack counts as "no stack": the value is real all the same. */
static void resolve(const uint64_t *arena, uint64_t arena_words, uint32_t id, struct resolved *out_stack)
{
	*out_stack = (struct resolved){0};
	if (id == 0 || id >= arena_words)
		return;
	struct cprof_stack header;
	memcpy(&header, arena + id, sizeof header);
	if (header.frame_count > CPROF_STACK_FRAMES_MAX || header.frame_count > arena_words - id - 1)
		return;
	out_stack->frame_count = header.frame_count;
	out_stack->frames = header.frame_count ? arena + id + 1 : NULL;
	out_stack->flags = header.flags & (CPROF_STACK_TRUNCATED | CPROF_STACK_BROKEN);
	uint64_t hash = cprof_mix64(header.frame_count ^ (uint64_t)out_stack->flags << 32);
	for (uint32_t i = 0; i < out_stack->frame_count; i++)
		hash = cprof_mix64(hash ^ out_stack->frames[i]);
	out_stack->hash = hash;
}

/* Equal sets of labels are one object. */
static bool is_same_stack(const struct resolved *a, const struct resolved *b)
{
	return a->hash == b->hash && a->kind == b->kind && a->labels == b->labels &&
	       a->frame_count == b->frame_count && a->flags == b->flags &&
	       (a->frame_count == 0 || memcmp(a->frames, b->frames, a->frame_count * sizeof *a->frames) == 0);
}

/* Resolves all ids and merges what is equal in all but its sums.  Their number is in *out_count. */
static int resolve_all(const struct stack_sums *sums, struct aggregate *aggregate, uint64_t arena_words,
		       struct resolved *out_stacks, size_t *out_count, uint32_t *index, size_t index_mask)
{
	size_t count = 0;
	for (uint32_t i = 0; i < sums->count; i++) {
		struct resolved stack;
		resolve(aggregate->frames, arena_words, sums->entries[i].stack, &stack);
		stack.kind = (uint16_t)sums->entries[i].kind;
		int error = label_sets_find(&aggregate->labels, sums->entries[i].labels, &stack.labels);
		if (error)
			return error;
		if (stack.labels)
			stack.hash = cprof_mix64(stack.hash + stack.labels->hash);
		size_t at = cprof_mix64(stack.hash + stack.kind) & index_mask;
		while (index[at] && !is_same_stack(&out_stacks[index[at] - 1], &stack))
			at = (at + 1) & index_mask;
		if (!index[at]) {
			out_stacks[count] = stack;
			index[at] = (uint32_t)++count;
		}
		stack_sums_add(&out_stacks[index[at] - 1].sums, &sums->entries[i].sums);
	}
	*out_count = count;
	return 0;
}

static int64_t clamp(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static int64_t rounded(uint64_t weight)
{
	return (int64_t)(weight / CPROF_WEIGHT_ONE + (weight % CPROF_WEIGHT_ONE >= CPROF_WEIGHT_ONE / 2));
}

static uint64_t max_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool has_figures(const struct resolved *stack)
{
	const struct aggregate_sums *s = &stack->sums;
	return s->weight || s->value || s->live_weight || s->live_value;
}

/* Rounds, once for the stack: what is written adds up to what was counted, but for one half a stack. */
static void emit(struct aggregate *aggregate, const struct resolved *stack)
{
	const struct aggregate_sums *s = &stack->sums;
	int64_t values[PROFILE_VALUES_MAX] = {rounded(s->weight), clamp(s->value), rounded(s->live_weight),
					      clamp(s->live_value)};
	struct profile_sample *sample =
		&aggregate->samples[stack->kind][aggregate->sample_count[stack->kind]++];
	*sample = (struct profile_sample){
		.frames = stack->frames,
		.frame_count = stack->frame_count,
		.stack_flags = stack->flags,
		.label_count = stack->labels ? stack->labels->count : 0,
		.labels = stack->labels ? stack->labels->labels : NULL,
	};
	uint64_t hash = stack->hash;
	for (size_t i = 0; i < profile_kinds[stack->kind].value_count; i++) {
		sample->values[i] = values[i];
		hash = cprof_mix64(hash + (uint64_t)values[i]);
	}
	aggregate->fingerprint[stack->kind] += hash; /* a sum: the order of stacks does not matter */
	stack_sums_add(&aggregate->sums[stack->kind], s);
}

/* Turns stacks into samples, of each kind as many as there are. */
static int emit_all(struct aggregate *aggregate, struct resolved *stacks, size_t stack_count)
{
	size_t room[PROFILE_KIND_COUNT] = {0};
	for (size_t i = 0; i < stack_count; i++)
		room[stacks[i].kind]++;
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++) {
		if (room[kind] == 0)
			continue;
		aggregate->samples[kind] = calloc(room[kind], sizeof *aggregate->samples[kind]);
		if (!aggregate->samples[kind])
			return -ENOMEM;
	}
	for (size_t i = 0; i < stack_count; i++) {
		struct aggregate_sums *s = &stacks[i].sums;
		s->weight = max_of(s->weight, s->live_weight);
		s->value = max_of(s->value, s->live_value);
		if (has_figures(&stacks[i]))
			emit(aggregate, &stacks[i]);
	}
	return 0;
}

static int make_samples(const struct stack_sums *sums, uint64_t arena_words, struct aggregate *aggregate)
{
	size_t room = sums->count ? sums->count : 1;
	size_t index_slots = 2;
	while (index_slots < 2 * room)
		index_slots *= 2;
	struct resolved *stacks = malloc(room * sizeof *stacks);
	uint32_t *index = calloc(index_slots, sizeof *index);
	int error = stacks && index ? 0 : -ENOMEM;
	if (!error) {
		size_t count;
		error = resolve_all(sums, aggregate, arena_words, stacks, &count, index, index_slots - 1);
		if (!error)
			error = emit_all(aggregate, stacks, count);
	}
	free(stacks);
	free(index);
	return error;
}

/* ---- public -------------------------------------------------------------------------------- */

int aggregate_take(const struct segment_reader *reader, enum ring_owner owner,
		   struct aggregate *out_aggregate, struct ring_drained *out_drained)
{
	const struct cprof_control *control = segment_reader_control(reader);
	const struct cprof_geometry *g = &reader->geometry;
	struct aggregate aggregate = {0};
	struct stack_sums sums = {0};
	uint64_t arena_words = 0;
	/* Relaxed: hints, checked against the geometry. */
	int error = visit_buckets(reader, &g->live, load_relaxed(&control->live_levels_used), g->live_offset,
				  sizeof(struct cprof_live_bucket), visit_live, &sums);
	ring_consumer_drain(reader, owner, out_drained);
	if (!error)
		error = visit_buckets(reader, &g->totals, load_relaxed(&control->total_levels_used),
				      g->totals_offset, sizeof(struct cprof_total_bucket), visit_total,
				      &sums);
	if (!error)
		aggregate.frames = copy_frames(reader, &arena_words, &error);
	if (!error)
		error = label_sets_read(reader, &aggregate.labels);
	if (!error)
		error = make_samples(&sums, arena_words, &aggregate);
	stack_sums_free(&sums);
	if (error) {
		aggregate_free(&aggregate);
		return error;
	}
	*out_aggregate = aggregate;
	return 0;
}

void aggregate_free(struct aggregate *aggregate)
{
	free(aggregate->frames);
	label_sets_free(&aggregate->labels);
	for (int kind = 0; kind < PROFILE_KIND_COUNT; kind++)
		free(aggregate->samples[kind]);
	*aggregate = (struct aggregate){0};
}
