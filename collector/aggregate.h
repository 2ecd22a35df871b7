/* SPDX-License-Identifier: MIT */
/*
 * Segment -> what a profile is made of: reads the live table, drains the rings and
 * reads the totals, once and in that order, into private memory, and sums by stack and labels.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_AGGREGATE_H
#define COLLECTOR_AGGREGATE_H

#include "label_sets.h"
#include "profile.h"
#include "ring_consumer.h"

/* Figures of one kind, of a stack or of all, before rounding; what they measure: enum cprof_kind. */
struct aggregate_sums {
	uint64_t weight; /* fixed point, like CPROF_WEIGHT_ONE */
	uint64_t value;
	uint64_t live_weight; /* heap: of the blocks in use */
	uint64_t live_value;
};

/* A moment of a process.  Owns what it points to; holds nothing of PROFILE_THREADS. */
struct aggregate {
	uint64_t *frames;         /* copy of the frame arena: samples point into it */
	struct label_sets labels; /* likewise */
	struct profile_sample *samples[PROFILE_KIND_COUNT];
	size_t sample_count[PROFILE_KIND_COUNT];
	uint64_t fingerprint[PROFILE_KIND_COUNT]; /* changes when a sample does */
	struct aggregate_sums sums[PROFILE_KIND_COUNT];
};

/*
 * Takes a moment's state; out_drained as ring_consumer_drain().  Returns 0, -ENOMEM
 * or a read error; then *out_aggregate is untouched (records may have been drained).
 */
int aggregate_take(const struct segment_reader *reader, enum ring_owner owner,
		   struct aggregate *out_aggregate, struct ring_drained *out_drained);

/* Accepts a zeroed aggregate. */
void aggregate_free(struct aggregate *aggregate);

#endif
