/* SPDX-License-Identifier: MIT */
/*
 * Packets of a Perfetto trace, one sequence of them: an event is begun, its fields are
 * added, and it is ended, which writes the packet, before it whatever names and stacks it
 * mentions for the first time.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_PERFETTO_PACKETS_H
#define COLLECTOR_PERFETTO_PACKETS_H

#include "byte_buffer.h"
#include "perfetto_fields.h"
#include "trace_symbols.h"

struct perfetto_packets {
	struct byte_buffer out;
	struct byte_buffer body;     /* of the event under way */
	struct byte_buffer interned; /* what it mentions for the first time */
	struct trace_symbols *symbols;
	struct u64_map known; /* what was written: field << 32 | id */
	uint32_t sequence_id;
	bool is_failed;
};

/* `symbols` is borrowed until _fini; its strings and stacks are what ids refer to. */
void perfetto_packets_init(struct perfetto_packets *packets, struct trace_symbols *symbols,
			   uint32_t sequence_id);
void perfetto_packets_fini(struct perfetto_packets *packets);

/* Gives the packets so far to the sink.  0 or -errno. */
int perfetto_packets_put(struct perfetto_packets *packets, const struct trace_sink *sink);

/* The first packet: times are CLOCK_MONOTONIC from here on. */
void perfetto_packets_clocks(struct perfetto_packets *packets, uint64_t monotonic_ns, uint64_t realtime_ns);

/* A packet with one field that holds what was added to `body`. */
void perfetto_packets_flush(struct perfetto_packets *packets, uint64_t time_ns,
			    enum perfetto_packet_field field);

/* An event on a track.  `category` and `name`: NULL: none. */
void perfetto_event_begin(struct perfetto_packets *packets, uint64_t track, uint32_t type,
			  const char *category, const char *name);
void perfetto_event_end(struct perfetto_packets *packets, uint64_t time_ns);

/* Fields of the event under way. */
void perfetto_event_stack(struct perfetto_packets *packets, uint32_t stack_id);
void perfetto_event_uint(struct perfetto_packets *packets, const char *name, uint64_t value);
void perfetto_event_pointer(struct perfetto_packets *packets, const char *name, uint64_t value);
void perfetto_event_true(struct perfetto_packets *packets, const char *name);
void perfetto_event_text(struct perfetto_packets *packets, const char *name, const char *text);

/* Number of a stack for callstack fields, written with the packet under way; 0: no frames. */
uint64_t perfetto_packets_stack(struct perfetto_packets *packets, uint32_t stack_id);

#endif
