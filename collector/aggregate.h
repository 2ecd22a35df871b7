/* SPDX-License-Identifier: MIT */
/*
 * Segment -> what a profile is made of: reads the live table, drains the rings and
 * reads the totals, once and in that order, into private memory, and sums by stack.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_AGGREGATE_H
#define COLLECTOR_AGGREGATE_H

#include "profile.h"
#include "ring_consumer.h"

/* Figures of the whole process image, before rounding by stack. */
struct aggregate_sums {
	uint64_t cpu_weight; /* fixed point, like CPROF_WEIGHT_ONE */
	uint64_t cpu_ns;
	uint64_t alloc_weight;
	uint64_t alloc_bytes;
	uint64_t live_weight;
	uint64_t live_bytes;
};

/* Owns what it points to. */
struct aggregate {
	uint64_t *frames; /* copy of the frame arena: samples point into it */
	struct profile_sample *samples[PROFILE_KIND_COUNT];
	size_t sample_count[PROFILE_KIND_COUNT];
	uint64_t fingerprint[PROFILE_KIND_COUNT]; /* changes when a sample does */
	struct aggregate_sums sums;
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
