/* SPDX-License-Identifier: MIT */
/*
 * The ring of one thread: the ordering contract and both ends' accessors.
 *
 * One producer: the thread, and the signal handlers nested on it, which always run
 * to their end before the code below them goes on.  One consumer: the collector.
 *
 *   producer (program)                      consumer (collector)
 *   ------------------                      --------------------
 *   tail  = load tail              (B)      for pos = tail; ; pos++
 *   if head - tail == RECORDS: full           stamp = load record.stamp   (D)
 *   pos   = head++  (one instruction)         if stamp != pos + 1: stop
 *   write record fields                       read record fields
 *   store record.stamp = pos + 1   (C)      add to totals
 *                                           store tail = pos              (A)
 *
 *   C pairs with D: else the reader could see the stamp before the fields.
 *   A pairs with B: else the producer could overwrite a record that is still read.
 *
 * A handler may interrupt the producer between `head++` and C: its own record, at a
 * later position, is whole before the earlier one.  The consumer stops at the hole
 * and finds it filled next time.  When the process died in the hole, the consumer
 * skips it and counts a torn record.
 *
 * When the ring is full, the producer adds its record to the totals itself; nothing
 * is dropped and nobody waits.
 *
 * Context: any (async-signal-safe).
 */
#ifndef CPROF_RING_H
#define CPROF_RING_H

#include "cprof_shm.h"

/*
 * Producer: appends a record.  Returns false if the ring is full (nothing was
 * written).  Only on the thread that owns the slot.
 */
static inline bool ring_push(struct cprof_thread *thread, uint32_t stack, uint32_t kind, uint32_t label,
			     uint64_t weight, uint64_t value)
{
	/* (B) acquire: pairs with (A) in ring_release(); else we overwrite what is being read. */
	uint64_t tail = load_acquire(&thread->tail);
	/* Relaxed: only this thread and its handlers write head. */
	uint64_t head = load_relaxed(&thread->head);
	/*
	 * A handler that fires between this test and the increment can take the last
	 * records; the margin of one record per nesting level keeps that from wrapping.
	 */
	if (head - tail >= CPROF_RING_RECORDS - CPROF_SCRATCH_LEVELS - 1)
		return false;
	/* Relaxed, but one read-modify-write instruction: a handler gets another position. */
	uint64_t pos = add_relaxed(&thread->head, 1);
	struct cprof_record *record = &thread->ring[pos % CPROF_RING_RECORDS];
	record->stack = stack;
	record->kind_label = kind << 24 | (label & 0xffffffu);
	record->reserved = 0;
	record->weight = weight;
	record->value = value;
	/* (C) release: pairs with (D) in ring_peek(); else the stamp is seen before the fields. */
	store_release(&record->stamp, (uint32_t)(pos + 1));
	return true;
}

/* A consumer's private copy of a record. */
struct ring_copy {
	uint32_t stack;
	uint32_t kind;
	uint32_t label;
	uint64_t weight;
	uint64_t value;
};

/* Consumer: copies the record at `pos`.  Returns false if it is not there (yet). */
static inline bool ring_peek(const struct cprof_thread *thread, uint64_t pos, struct ring_copy *out_copy)
{
	const struct cprof_record *record = &thread->ring[pos % CPROF_RING_RECORDS];
	/* (D) acquire: pairs with (C). */
	if (load_acquire(&record->stamp) != (uint32_t)(pos + 1))
		return false;
	uint32_t kind_label = record->kind_label;
	out_copy->stack = record->stack;
	out_copy->kind = kind_label >> 24;
	out_copy->label = kind_label & 0xffffffu;
	out_copy->weight = record->weight;
	out_copy->value = record->value;
	return true;
}

/* Consumer: gives all positions below `tail` back to the producer. */
static inline void ring_release(struct cprof_thread *thread, uint64_t tail)
{
	/* (A) release: pairs with (B); our reads of the records come before it. */
	store_release(&thread->tail, tail);
}

#endif
