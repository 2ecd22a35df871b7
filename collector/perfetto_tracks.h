/* SPDX-License-Identifier: MIT */
/*
 * The tracks of a Perfetto trace: their numbers, with the pid above, so that traces of
 * several processes can be put together, and the packets that describe them.  Waits have a
 * track of their own beside the thread's: regions and waits need not nest in each other.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_PERFETTO_TRACKS_H
#define COLLECTOR_PERFETTO_TRACKS_H

#include "perfetto_packets.h"
#include "trace_model.h"

enum perfetto_fixed_track {
	PERFETTO_TRACK_OF_PROCESS = 1,
	PERFETTO_TRACK_OF_HEAP,
	PERFETTO_TRACK_OF_THREAD_COUNT,
	PERFETTO_TRACK_OF_GAPS,
	PERFETTO_FIXED_TRACKS
};
enum { PERFETTO_THREAD_ITSELF, PERFETTO_THREAD_WAITS, PERFETTO_TRACKS_PER_THREAD };

uint64_t perfetto_track(const struct trace_model *model, uint64_t number);
uint64_t perfetto_track_of_thread(const struct trace_model *model, uint32_t thread, uint32_t which);
uint64_t perfetto_track_of_lock(const struct trace_model *model, uint32_t lock);
uint64_t perfetto_track_of_lane(const struct trace_model *model, uint32_t lane);

/* Writes all descriptions but those of lanes. */
void perfetto_describe_all(const struct trace_model *model, struct perfetto_packets *packets);

/* A lane for one task at a time, described when it is first needed. */
void perfetto_describe_lane(const struct trace_model *model, struct perfetto_packets *packets, uint32_t lane,
			    uint64_t time_ns);

#endif
