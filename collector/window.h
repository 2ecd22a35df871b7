/* SPDX-License-Identifier: MIT */
/*
 * A span of time in the life of a process: what had been counted at its begin, to be
 * taken off what has been counted at its end.  Stacks are remembered by hash: their
 * frames are in the aggregate of the end anyhow, because what is counted stays.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_WINDOW_H
#define COLLECTOR_WINDOW_H

#include "u64_map.h"
#include "writer.h"

/* The values of one kind's stacks. */
struct window_stacks {
	struct u64_map index; /* hash of the sample -> index into values */
	int64_t (*values)[PROFILE_VALUES_MAX];
};

/* Of a sample's stack and labels; its values do not matter. */
uint64_t window_hash_sample(const struct profile_sample *sample);

/* All zero is closed. */
struct window {
	bool is_open;
	int64_t begin_realtime_ns;
	uint64_t begin_monotonic_ns;
	uint64_t clock_ns; /* the image's CPU clock */
	uint64_t counters[CPROF_COUNTER_COUNT];
	struct aggregate_sums sums[PROFILE_KIND_COUNT];
	struct window_stacks stacks[PROFILE_KIND_COUNT];
};

/*
 * Remembers an aggregate, of which only `kinds` (bits 1u << enum profile_kind, without
 * threads) can be subtracted later.  0, or -ENOMEM: then there is no window.
 */
int window_open(const struct writer *writer, const struct writer_moment *moment,
		const struct aggregate *aggregate, unsigned kinds, struct window *out_window);

/* A window that begins with the process: nothing had been counted. */
void window_open_at_start(const struct writer *writer, struct window *out_window);

/*
 * Turns one kind of a later aggregate of the same process into what came since.  Values
 * of what is in use may be negative; samples in which nothing changed are dropped.
 */
void window_subtract(const struct window *window, enum profile_kind kind, struct aggregate *aggregate);

/*
 * The same for a kind of which only the first `value_count` values are counted up: the
 * others stay what they are at the end, and samples are dropped that have no value left.
 * Whether anything differs from the begin.
 */
bool window_subtract_first(const struct window *window, enum profile_kind kind, size_t value_count,
			   struct aggregate *aggregate);

/* Describes a kind that was subtracted, as writer_describe(), with the span's time, length and losses. */
void window_describe(const struct window *window, const struct writer *writer, const struct aggregate *since,
		     enum profile_kind kind, const struct writer_moment *moment,
		     struct writer_profile *out_profile);

/* Accepts a closed one. */
void window_close(struct window *window);

#endif
