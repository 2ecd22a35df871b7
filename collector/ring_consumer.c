/* SPDX-License-Identifier: MIT */
/*
 * One batch is at most one ring.  Between two steps of a batch stand compiler fences
 * only: kill -9 ends a process between two instructions, and the stores before that
 * point are seen by everybody, in program order.
 *
 * Records are hostile like all else: an impossible kind is dropped as torn, an
 * impossible stack becomes "no stack".
 *
 * Context: collector, main thread.
 */
#include "ring_consumer.h"

#include <errno.h>
#include <string.h>

#include "cprof_ring.h"

enum { JOURNAL_EMPTY = 0, JOURNAL_FULL = 1 };

#define INDEX_SLOTS (2 * CPROF_RING_RECORDS)

/* The records of one ring, summed by key. */
struct batch {
	uint32_t key_count;
	struct {
		uint64_t key;
		uint64_t weight;
		uint64_t value;
	} sums[CPROF_RING_RECORDS];
	uint16_t index[INDEX_SLOTS]; /* hash -> position in sums + 1 */
	uint64_t records;
	uint64_t counters[CPROF_COUNTER_COUNT]; /* to be added once the batch is done */
	uint32_t entry_count;
	struct cprof_journal_entry entries[CPROF_JOURNAL_ENTRIES];
};

/* Scratch of the drain under way: too large for a stack, needed by one thread only. */
static struct batch batch;

static void batch_clear(struct batch *b)
{
	b->key_count = 0;
	b->records = 0;
	b->entry_count = 0;
	memset(b->index, 0, sizeof b->index);
	memset(b->counters, 0, sizeof b->counters);
}

static void batch_add(struct batch *b, uint64_t key, uint64_t weight, uint64_t value)
{
	uint32_t at = (uint32_t)cprof_mix64(key) % INDEX_SLOTS;
	while (b->index[at] && b->sums[b->index[at] - 1].key != key)
		at = (at + 1) % INDEX_SLOTS;
	if (!b->index[at]) {
		b->sums[b->key_count].key = key;
		b->sums[b->key_count].weight = 0;
		b->sums[b->key_count].value = 0;
		b->index[at] = (uint16_t)++b->key_count;
	}
	b->sums[b->index[at] - 1].weight += weight;
	b->sums[b->index[at] - 1].value += value;
	b->records++;
}

/* Sums the records from tail on.  Returns the position of the first that is not taken. */
static uint64_t batch_collect(struct batch *b, const struct segment_reader *reader,
			      const struct cprof_thread *thread, uint64_t tail, uint64_t head,
			      enum ring_owner owner)
{
	uint64_t stack_end = reader->geometry.frames_bytes / sizeof(uint64_t);
	uint64_t pos = tail;
	for (; pos != head; pos++) {
		struct ring_copy record;
		bool is_whole = ring_peek(thread, pos, &record);
		if (!is_whole && owner == RING_OWNER_RUNNING)
			break;
		if (!is_whole || record.kind == CPROF_KIND_NONE || record.kind >= CPROF_KIND_COUNT) {
			b->counters[CPROF_RECORDS_TORN]++;
			continue;
		}
		if (record.stack >= stack_end) {
			record.stack = 0;
			b->counters[CPROF_STACKS_MISSING]++;
		}
		batch_add(b, cprof_total_key(record.stack, record.kind, record.label), record.weight,
			  record.value);
	}
	return pos;
}

static void raise_levels_used(const struct segment_reader *reader, uint32_t level)
{
	atomic_u32 *used = &segment_reader_control(reader)->total_levels_used;
	uint32_t seen = load_relaxed(used); /* a hint */
	while (seen <= level && !cas_acq_rel(used, &seen, level + 1))
		;
}

/* Finds or makes the total of a key, like the producers do.  False: no room. */
static bool find_total(const struct segment_reader *reader, uint64_t key, uint32_t *out_bucket,
		       uint32_t *out_slot)
{
	const struct cprof_levels *levels = &reader->geometry.totals;
	uint64_t hash = cprof_mix64(key);
	for (uint32_t level = 0; level < levels->level_count; level++) {
		uint32_t bucket = cprof_levels_bucket(levels, level, hash);
		struct cprof_total_bucket *total = segment_reader_total(reader, bucket);
		for (uint32_t slot = 0; slot < CPROF_BUCKET_SLOTS; slot++) {
			/* Relaxed: a key guards nothing but itself; its sums start at 0. */
			uint64_t found = load_relaxed(&total->key[slot]);
			if (found == 0 && cas_acq_rel(&total->key[slot], &found, key)) {
				raise_levels_used(reader, level);
				found = key;
			}
			if (found == key) {
				*out_bucket = bucket;
				*out_slot = slot;
				return true;
			}
		}
	}
	return false;
}

static void batch_count_lost(struct batch *b, uint64_t key, uint64_t weight, uint64_t value)
{
	struct cprof_lost lost;
	b->counters[CPROF_TOTALS_FULL]++;
	if (!cprof_lost_of(cprof_total_key_kind(key), &lost))
		return;
	b->counters[lost.weight] += weight / CPROF_WEIGHT_ONE;
	if (lost.value < CPROF_COUNTER_COUNT)
		b->counters[lost.value] += value;
}

/* Step 1: the new value of each collector half that the batch touches. */
static void batch_compute(struct batch *b, const struct segment_reader *reader)
{
	for (uint32_t i = 0; i < b->key_count; i++) {
		struct cprof_journal_entry *entry = &b->entries[b->entry_count];
		if (!find_total(reader, b->sums[i].key, &entry->bucket, &entry->slot)) {
			batch_count_lost(b, b->sums[i].key, b->sums[i].weight, b->sums[i].value);
			continue;
		}
		const struct cprof_sums *sums =
			&segment_reader_total(reader, entry->bucket)->sums[entry->slot];
		/* Relaxed: only collectors store these, and there is one at a time. */
		entry->weight = load_relaxed(&sums->collector_weight) + b->sums[i].weight;
		entry->value = load_relaxed(&sums->collector_value) + b->sums[i].value;
		b->entry_count++;
	}
}

/* Step 4.  Repeating it changes nothing: the entries are values, not differences. */
static void apply(const struct segment_reader *reader, const struct cprof_journal_entry *entries,
		  uint32_t entry_count)
{
	for (uint32_t i = 0; i < entry_count; i++) {
		struct cprof_sums *sums =
			&segment_reader_total(reader, entries[i].bucket)->sums[entries[i].slot];
		/* Relaxed: a reader of totals takes sums, not histories. */
		store_relaxed(&sums->collector_value, entries[i].value);
		store_relaxed(&sums->collector_weight, entries[i].weight);
	}
}

/* Steps 2 to 6 for a computed batch. */
static void batch_commit(const struct batch *b, const struct segment_reader *reader, uint32_t slot,
			 uint64_t new_tail)
{
	struct cprof_journal *journal = segment_reader_journal(reader);
	journal->thread = slot;
	journal->tail = new_tail;
	journal->entry_count = b->entry_count;
	journal->batch++;
	memcpy(journal->entries, b->entries, b->entry_count * sizeof b->entries[0]);
	/* Release: a collector that finds FULL must find the entries. */
	store_release(&journal->state, JOURNAL_FULL);
	fence_signal(); /* FULL before the first total changes: else a death between counts twice */
	apply(reader, b->entries, b->entry_count);
	ring_release(segment_reader_thread(reader, slot), new_tail);
	/* Release: the tail before EMPTY; else the batch would be drained again. */
	store_release(&journal->state, JOURNAL_EMPTY);
	fence_signal(); /* EMPTY before the next batch's entries overwrite these */
}

static void add_counters(const struct segment_reader *reader, const uint64_t *counters)
{
	struct cprof_control *control = segment_reader_control(reader);
	for (uint32_t i = 0; i < CPROF_COUNTER_COUNT; i++)
		if (counters[i])
			add_relaxed(&control->counters[i], counters[i]); /* a count orders nothing */
}

static void drain_ring(const struct segment_reader *reader, uint32_t slot, enum ring_owner owner,
		       struct ring_drained *drained)
{
	struct cprof_thread *thread = segment_reader_thread(reader, slot);
	/* Acquire: an ended thread's last records are seen with its state. */
	uint32_t state = load_acquire(&thread->state);
	uint64_t tail = load_relaxed(&thread->tail); /* ours */
	uint64_t head = load_acquire(&thread->head);
	if (head - tail > CPROF_RING_RECORDS) {
		ring_release(thread, head);
		drained->corrupt++;
		return;
	}
	if (head != tail) {
		/* A record that a thread left unfinished when it ended stays so. */
		enum ring_owner filler = state == CPROF_THREAD_ENDED ? RING_OWNER_DEAD : owner;
		batch_clear(&batch);
		uint64_t new_tail = batch_collect(&batch, reader, thread, tail, head, filler);
		if (new_tail != tail) {
			batch_compute(&batch, reader);
			batch_commit(&batch, reader, slot, new_tail);
			add_counters(reader, batch.counters);
		}
		drained->records += batch.records;
		if (head - tail > drained->fullest)
			drained->fullest = (uint32_t)(head - tail);
		tail = new_tail;
	}
	/* Acquire and release: the next user of the slot must see the tail that we stored. */
	if (state == CPROF_THREAD_ENDED && tail == load_relaxed(&thread->head))
		cas_acq_rel(&thread->state, &state, CPROF_THREAD_FREE);
}

int ring_consumer_replay(const struct segment_reader *reader)
{
	struct cprof_journal *journal = segment_reader_journal(reader);
	/* Acquire: pairs with the release of FULL in batch_commit(). */
	if (load_acquire(&journal->state) == JOURNAL_EMPTY)
		return 0;
	uint32_t entry_count = journal->entry_count;
	uint32_t slot = journal->thread;
	uint64_t tail = journal->tail;
	bool is_sound = entry_count <= CPROF_JOURNAL_ENTRIES && slot < reader->geometry.thread_count;
	if (is_sound)
		memcpy(batch.entries, journal->entries, entry_count * sizeof batch.entries[0]);
	for (uint32_t i = 0; is_sound && i < entry_count; i++)
		is_sound = batch.entries[i].bucket < reader->geometry.totals.bucket_count &&
			   batch.entries[i].slot < CPROF_BUCKET_SLOTS;
	if (is_sound) {
		apply(reader, batch.entries, entry_count);
		ring_release(segment_reader_thread(reader, slot), tail);
	}
	store_release(&journal->state, JOURNAL_EMPTY); /* as in batch_commit() */
	fence_signal();
	return is_sound ? 0 : -EBADMSG;
}

void ring_consumer_drain(const struct segment_reader *reader, enum ring_owner owner,
			 struct ring_drained *out_drained)
{
	struct ring_drained drained = {0};
	/* Acquire: the slots below it are set up. */
	uint32_t slots = load_acquire(&segment_reader_control(reader)->threads_used);
	if (slots > reader->geometry.thread_count)
		slots = reader->geometry.thread_count;
	for (uint32_t slot = 0; slot < slots; slot++)
		drain_ring(reader, slot, owner, &drained);
	*out_drained = drained;
}
