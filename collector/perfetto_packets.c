/* SPDX-License-Identifier: MIT */
/*
 * Strings are numbered as in the symbols' tables, plus one, since 0 is no number.
 *
 * Context: collector; see perfetto_packets.h.
 */
#include "perfetto_packets.h"

#include <errno.h>

/* Whether something is mentioned for the first time. */
static bool is_new(struct perfetto_packets *packets, uint32_t field, uint32_t id)
{
	uint64_t key = (uint64_t)field << 32 | id;
	uint32_t ignored;
	if (u64_map_find(&packets->known, key, &ignored))
		return false;
	if (u64_map_put(&packets->known, key, 0) < 0)
		packets->is_failed = true;
	return true;
}

static uint64_t intern_string(struct perfetto_packets *packets, enum perfetto_interned_field field,
			      uint32_t string)
{
	uint64_t iid = (uint64_t)string + 1;
	if (is_new(packets, field, string)) {
		size_t entry = proto_begin(&packets->interned, field);
		proto_varint(&packets->interned, INTERNED_IID, iid);
		proto_string(&packets->interned, INTERNED_TEXT, trace_symbols_text(packets->symbols, string));
		proto_end(&packets->interned, entry);
	}
	return iid;
}

static uint64_t intern_text(struct perfetto_packets *packets, enum perfetto_interned_field field,
			    const char *text)
{
	return intern_string(packets, field, trace_symbols_string(packets->symbols, text));
}

static void intern_frame(struct perfetto_packets *packets, uint32_t index)
{
	if (!is_new(packets, INTERNED_FRAMES, index))
		return;
	const struct trace_frame *frame = &packets->symbols->frames[index];
	uint64_t function = intern_string(packets, INTERNED_FUNCTIONS, frame->function);
	uint64_t source = frame->file ? intern_string(packets, INTERNED_SOURCES, frame->file) : 0;
	size_t entry = proto_begin(&packets->interned, INTERNED_FRAMES);
	proto_varint(&packets->interned, FRAME_IID, (uint64_t)index + 1);
	proto_varint(&packets->interned, FRAME_FUNCTION, function);
	if (source)
		proto_varint(&packets->interned, FRAME_SOURCE, source);
	if (frame->line)
		proto_varint(&packets->interned, FRAME_LINE, frame->line);
	proto_end(&packets->interned, entry);
}

uint64_t perfetto_packets_stack(struct perfetto_packets *packets, uint32_t stack_id)
{
	uint32_t index = trace_symbols_stack(packets->symbols, stack_id);
	if (index == 0 || !is_new(packets, INTERNED_CALLSTACKS, index))
		return index;
	struct trace_stack stack = packets->symbols->stacks[index];
	for (uint32_t i = 0; i < stack.count; i++)
		intern_frame(packets, stack.frames[i]);
	size_t entry = proto_begin(&packets->interned, INTERNED_CALLSTACKS);
	proto_varint(&packets->interned, CALLSTACK_IID, index);
	/* The outermost first. */
	for (uint32_t i = stack.count; i-- > 0;)
		proto_varint(&packets->interned, CALLSTACK_FRAMES, (uint64_t)stack.frames[i] + 1);
	proto_end(&packets->interned, entry);
	return index;
}

static void add_bytes(struct byte_buffer *out, uint32_t field, const struct byte_buffer *bytes)
{
	size_t entry = proto_begin(out, field);
	byte_buffer_add(out, bytes->bytes, bytes->size);
	proto_end(out, entry);
}

void perfetto_packets_flush(struct perfetto_packets *packets, uint64_t time_ns,
			    enum perfetto_packet_field field)
{
	struct byte_buffer *out = &packets->out;
	size_t packet = proto_begin(out, TRACE_PACKET);
	proto_varint(out, PACKET_TIMESTAMP, time_ns);
	proto_varint(out, PACKET_SEQUENCE_ID, packets->sequence_id);
	proto_varint(out, PACKET_SEQUENCE_FLAGS, SEQUENCE_NEEDS_STATE);
	if (packets->interned.size)
		add_bytes(out, PACKET_INTERNED_DATA, &packets->interned);
	add_bytes(out, field, &packets->body);
	proto_end(out, packet);
	packets->interned.size = 0;
	packets->body.size = 0;
}

static void add_clock(struct byte_buffer *out, uint32_t clock, uint64_t time_ns)
{
	size_t entry = proto_begin(out, SNAPSHOT_CLOCKS);
	proto_varint(out, CLOCK_ID, clock);
	proto_varint(out, CLOCK_TIME, time_ns);
	proto_end(out, entry);
}

void perfetto_packets_clocks(struct perfetto_packets *packets, uint64_t monotonic_ns, uint64_t realtime_ns)
{
	struct byte_buffer *out = &packets->out;
	size_t packet = proto_begin(out, TRACE_PACKET);
	proto_varint(out, PACKET_SEQUENCE_ID, packets->sequence_id);
	proto_varint(out, PACKET_SEQUENCE_FLAGS, SEQUENCE_STATE_CLEARED);
	size_t defaults = proto_begin(out, PACKET_DEFAULTS);
	proto_varint(out, PACKET_TIMESTAMP_CLOCK, PERFETTO_CLOCK_MONOTONIC);
	proto_end(out, defaults);
	size_t snapshot = proto_begin(out, PACKET_CLOCK_SNAPSHOT);
	add_clock(out, PERFETTO_CLOCK_MONOTONIC, monotonic_ns);
	add_clock(out, PERFETTO_CLOCK_REALTIME, realtime_ns);
	proto_varint(out, SNAPSHOT_PRIMARY, PERFETTO_CLOCK_MONOTONIC);
	proto_end(out, snapshot);
	proto_end(out, packet);
}

void perfetto_event_begin(struct perfetto_packets *packets, uint64_t track, uint32_t type,
			  const char *category, const char *name)
{
	struct byte_buffer *body = &packets->body;
	proto_varint(body, EVENT_TYPE, type);
	proto_varint(body, EVENT_TRACK, track);
	if (category)
		proto_varint(body, EVENT_CATEGORY_IID, intern_text(packets, INTERNED_CATEGORIES, category));
	if (name)
		proto_varint(body, EVENT_NAME_IID, intern_text(packets, INTERNED_EVENT_NAMES, name));
}

void perfetto_event_end(struct perfetto_packets *packets, uint64_t time_ns)
{
	perfetto_packets_flush(packets, time_ns, PACKET_TRACK_EVENT);
}

void perfetto_event_stack(struct perfetto_packets *packets, uint32_t stack_id)
{
	uint64_t iid = perfetto_packets_stack(packets, stack_id);
	if (iid)
		proto_varint(&packets->body, EVENT_CALLSTACK_IID, iid);
}

static size_t begin_annotation(struct perfetto_packets *packets, const char *name)
{
	size_t entry = proto_begin(&packets->body, EVENT_ANNOTATION);
	proto_varint(&packets->body, ANNOTATION_NAME_IID,
		     intern_text(packets, INTERNED_ANNOTATION_NAMES, name));
	return entry;
}

void perfetto_event_uint(struct perfetto_packets *packets, const char *name, uint64_t value)
{
	size_t entry = begin_annotation(packets, name);
	proto_varint(&packets->body, ANNOTATION_UINT, value);
	proto_end(&packets->body, entry);
}

void perfetto_event_pointer(struct perfetto_packets *packets, const char *name, uint64_t value)
{
	size_t entry = begin_annotation(packets, name);
	proto_varint(&packets->body, ANNOTATION_POINTER, value);
	proto_end(&packets->body, entry);
}

void perfetto_event_true(struct perfetto_packets *packets, const char *name)
{
	size_t entry = begin_annotation(packets, name);
	proto_varint(&packets->body, ANNOTATION_BOOL, 1);
	proto_end(&packets->body, entry);
}

void perfetto_event_text(struct perfetto_packets *packets, const char *name, const char *text)
{
	size_t entry = begin_annotation(packets, name);
	proto_varint(&packets->body, ANNOTATION_STRING_IID,
		     intern_text(packets, INTERNED_ANNOTATION_STRINGS, text));
	proto_end(&packets->body, entry);
}

void perfetto_packets_init(struct perfetto_packets *packets, struct trace_symbols *symbols,
			   uint32_t sequence_id)
{
	*packets = (struct perfetto_packets){.symbols = symbols, .sequence_id = sequence_id};
}

int perfetto_packets_put(struct perfetto_packets *packets, const struct trace_sink *sink)
{
	if (packets->is_failed || packets->out.is_failed || packets->body.is_failed ||
	    packets->interned.is_failed || packets->symbols->tables.is_failed)
		return -ENOMEM;
	int error = sink->put(sink->context, packets->out.bytes, packets->out.size);
	packets->out.size = 0;
	return error;
}

void perfetto_packets_fini(struct perfetto_packets *packets)
{
	byte_buffer_free(&packets->out);
	byte_buffer_free(&packets->body);
	byte_buffer_free(&packets->interned);
	u64_map_fini(&packets->known);
}
