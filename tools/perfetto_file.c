/* SPDX-License-Identifier: MIT */
/*
 * Packets are read in their order.  What they intern is kept by number; a number that was
 * not interned is a mistake of the file, and ends the reading.
 *
 * Context: command line; see perfetto_file.h.
 */
#include "perfetto_file.h"

#include <stdlib.h>
#include <string.h>

#include "perfetto_fields.h"
#include "proto_reader.h"
#include "trace_perfetto.h"
#include "u64_map.h"
#include "utf8.h"

#define NOT_A_TRACE "is not a Perfetto trace"
#define BROKEN "is cut off, or damaged"
#define FOREIGN "was not written by cprof; accepted: the .perfetto-trace files that it writes"
#define NO_MEMORY "does not fit into memory"

struct track {
	uint32_t thread;    /* PERFETTO_NONE: of none */
	uint32_t kind;      /* of its slices: enum perfetto_slice_kind; PERFETTO_KINDS: none */
	uint32_t open;      /* innermost slice, PERFETTO_NONE: none */
	uint32_t last_wait; /* that ended, PERFETTO_NONE: none */
};

struct reading {
	struct perfetto_file *file;
	struct track *tracks;
	size_t track_count;
	struct u64_map track_of; /* uuid -> track */
	struct u64_map text_of;  /* field << 56 | iid -> texts */
	struct u64_map frame_of; /* iid -> frames */
	struct u64_map stack_of; /* iid -> stacks */
	struct u64_map waker_of; /* flow -> thread */
	const char **texts;
	size_t text_count;
	uint64_t sequence;
	const char *wrong; /* NULL: all is well */
};

/* Remembers the first thing that is wrong. */
static bool fail(struct reading *reading, const char *wrong)
{
	if (!reading->wrong)
		reading->wrong = wrong;
	return false;
}

/* An array with room for one more; it doubles at powers of two. */
static void *grown(struct reading *reading, void *items, size_t count, size_t item_size)
{
	if (count & (count - 1))
		return items;
	void *more = reallocarray(items, count ? 2 * count : 1, item_size);
	if (!more)
		fail(reading, NO_MEMORY);
	return more;
}

#define ADD(reading, array, count)                                                 \
	({                                                                         \
		void *more_ = grown((reading), (array), (count), sizeof *(array)); \
		if (more_)                                                         \
			(array) = more_;                                           \
		more_ ? &(array)[(count)++] : NULL;                                \
	})

static void put(struct reading *reading, struct u64_map *map, uint64_t key, size_t value)
{
	if (u64_map_put(map, key, (uint32_t)value) < 0)
		fail(reading, NO_MEMORY);
}

/* ---- texts, frames, stacks ------------------------------------------------------------- */

/* A copy that may be printed: control characters would reach the terminal. */
static const char *copy_text(struct reading *reading, const struct proto_field *field)
{
	char *text = field->bytes
			     ? arena_copy(&reading->file->arena, (const char *)field->bytes, field->value)
			     : NULL;
	for (char *at = text; at && *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	if (text && !utf8_is_valid(text))
		text = utf8_copy(&reading->file->arena, text);
	if (!text)
		fail(reading, field->bytes ? NO_MEMORY : BROKEN);
	return text;
}

static uint64_t text_key(uint32_t field, uint64_t iid)
{
	return (uint64_t)field << 56 | (iid & (UINT64_MAX >> 8));
}

/* An interned text; NULL and a failure if there is none. */
static const char *find_text(struct reading *reading, uint32_t field, uint64_t iid)
{
	uint32_t index;
	if (!u64_map_find(&reading->text_of, text_key(field, iid), &index) || index >= reading->text_count) {
		fail(reading, BROKEN);
		return NULL;
	}
	return reading->texts[index];
}

static void read_text(struct reading *reading, const struct proto_field *entry)
{
	struct proto_field text;
	if (!proto_find(entry, INTERNED_TEXT, &text)) {
		fail(reading, BROKEN);
		return;
	}
	const char *copy = copy_text(reading, &text);
	const char **to = copy ? ADD(reading, reading->texts, reading->text_count) : NULL;
	if (!to)
		return;
	*to = copy;
	put(reading, &reading->text_of, text_key(entry->number, proto_number(entry, INTERNED_IID, 0)),
	    reading->text_count - 1);
}

static void read_frame(struct reading *reading, const struct proto_field *entry)
{
	struct perfetto_file *file = reading->file;
	uint64_t source = proto_number(entry, FRAME_SOURCE, 0);
	struct perfetto_code code = {
		.function = find_text(reading, INTERNED_FUNCTIONS, proto_number(entry, FRAME_FUNCTION, 0)),
		.file = source ? find_text(reading, INTERNED_SOURCES, source) : NULL,
		.line = (uint32_t)proto_number(entry, FRAME_LINE, 0)};
	struct perfetto_code *to = code.function ? ADD(reading, file->frames, file->frame_count) : NULL;
	if (!to)
		return;
	*to = code;
	put(reading, &reading->frame_of, proto_number(entry, FRAME_IID, 0), file->frame_count - 1);
}

static void read_stack(struct reading *reading, const struct proto_field *entry)
{
	struct perfetto_file *file = reading->file;
	struct proto_reader reader = proto_reader_of(entry);
	struct proto_field field;
	/* A frame takes two bytes at least. */
	uint32_t *frames = arena_array(&file->arena, entry->value / 2 + 1, sizeof *frames);
	struct perfetto_callstack stack = {.frames = frames};
	while (frames && proto_reader_next(&reader, &field))
		if (field.number == CALLSTACK_FRAMES &&
		    !u64_map_find(&reading->frame_of, field.value, &frames[stack.count++]))
			fail(reading, BROKEN);
	struct perfetto_callstack *to = frames ? ADD(reading, file->stacks, file->stack_count) : NULL;
	if (!to) {
		fail(reading, NO_MEMORY);
		return;
	}
	*to = stack;
	put(reading, &reading->stack_of, proto_number(entry, CALLSTACK_IID, 0), file->stack_count - 1);
}

static void read_interned(struct reading *reading, const struct proto_field *data)
{
	struct proto_reader reader = proto_reader_of(data);
	struct proto_field entry;
	while (!reading->wrong && proto_reader_next(&reader, &entry)) {
		if (!entry.bytes)
			fail(reading, BROKEN);
		else if (entry.number == INTERNED_FRAMES)
			read_frame(reading, &entry);
		else if (entry.number == INTERNED_CALLSTACKS)
			read_stack(reading, &entry);
		else
			read_text(reading, &entry);
	}
	if (reader.is_bad)
		fail(reading, BROKEN);
}

/* ---- tracks -------------------------------------------------------------------------------- */

static struct track *find_track(struct reading *reading, uint64_t uuid)
{
	uint32_t index;
	return u64_map_find(&reading->track_of, uuid, &index) ? &reading->tracks[index] : NULL;
}

static void read_thread(struct reading *reading, const struct proto_field *thread, struct track *track)
{
	struct perfetto_file *file = reading->file;
	struct proto_field name;
	struct perfetto_thread_info *to = ADD(reading, file->threads, file->thread_count);
	if (!to)
		return;
	*to = (struct perfetto_thread_info){
		.tid = (uint32_t)proto_number(thread, THREAD_TID, 0), .name = "", .begin_ns = file->begin_ns};
	if (proto_find(thread, THREAD_NAME, &name))
		to->name = copy_text(reading, &name);
	track->thread = (uint32_t)file->thread_count - 1;
	track->kind = PERFETTO_REGION;
}

static void read_track(struct reading *reading, const struct proto_field *descriptor)
{
	struct track track = {PERFETTO_NONE, PERFETTO_KINDS, PERFETTO_NONE, PERFETTO_NONE};
	const struct track *parent = find_track(reading, proto_number(descriptor, TRACK_PARENT, 0));
	struct proto_field field;
	const char *name = "";
	if (proto_find(descriptor, TRACK_PROCESS, &field)) {
		reading->file->pid = proto_number(&field, PROCESS_PID, 0);
		if (proto_find(&field, PROCESS_NAME, &field))
			reading->file->process_name = copy_text(reading, &field);
	} else if (proto_find(descriptor, TRACK_THREAD, &field)) {
		read_thread(reading, &field, &track);
	} else if (proto_find(descriptor, TRACK_NAME, &field)) {
		name = copy_text(reading, &field);
	}
	if (reading->wrong)
		return;
	if (parent && strcmp(name, PERFETTO_WAITS) == 0 && parent->thread != PERFETTO_NONE) {
		track.thread = parent->thread;
		track.kind = PERFETTO_WAIT;
	} else if (strcmp(name, PERFETTO_TASKS) == 0) {
		track.kind = PERFETTO_TASK;
	} else if (strcmp(name, PERFETTO_GAPS) == 0) {
		track.kind = PERFETTO_GAP;
	}
	struct track *to = ADD(reading, reading->tracks, reading->track_count);
	if (!to)
		return;
	*to = track;
	put(reading, &reading->track_of, proto_number(descriptor, TRACK_UUID, 0), reading->track_count - 1);
}

/* ---- events ----------------------------------------------------------------------------------- */

/* What the fields of an event say. */
struct event {
	uint64_t type, track, stack;
	const char *name;
	uint64_t object, before_ns;
	bool is_address; /* the object */
	bool is_open;
};

static void read_annotation(struct reading *reading, const struct proto_field *field, struct event *event)
{
	const char *name = find_text(reading, INTERNED_ANNOTATION_NAMES,
				     proto_number(field, ANNOTATION_NAME_IID, 0));
	if (!name)
		return;
	if (strcmp(name, "not over") == 0 || strcmp(name, "end not known") == 0 ||
	    strcmp(name, "begin not known") == 0)
		event->is_open = true;
	if (strcmp(name, "ns before the trace") == 0)
		event->before_ns = proto_number(field, ANNOTATION_UINT, 0);
	if (strcmp(name, "object") == 0 || strcmp(name, "events") == 0 || strcmp(name, "threads") == 0) {
		uint64_t address = proto_number(field, ANNOTATION_POINTER, 0);
		event->is_address = address != 0;
		event->object = address ? address : proto_number(field, ANNOTATION_UINT, 0);
	}
}

static struct event read_event(struct reading *reading, const struct proto_field *field)
{
	struct event event = {0};
	struct proto_reader reader = proto_reader_of(field);
	struct proto_field part;
	while (!reading->wrong && proto_reader_next(&reader, &part)) {
		switch (part.number) {
		case EVENT_TYPE:
			event.type = part.value;
			break;
		case EVENT_TRACK:
			event.track = part.value;
			break;
		case EVENT_CALLSTACK_IID:
			event.stack = part.value;
			break;
		case EVENT_NAME_IID:
			event.name = find_text(reading, INTERNED_EVENT_NAMES, part.value);
			break;
		case EVENT_ANNOTATION:
			read_annotation(reading, &part, &event);
			break;
		default:
			break;
		}
	}
	if (reader.is_bad)
		fail(reading, BROKEN);
	return event;
}

static void begin_slice(struct reading *reading, struct track *track, const struct event *event,
			uint64_t time_ns)
{
	struct perfetto_file *file = reading->file;
	struct perfetto_slice *slice = ADD(reading, file->slices, file->slice_count);
	if (!slice)
		return;
	*slice = (struct perfetto_slice){.begin_ns = time_ns,
					 .before_ns = event->before_ns,
					 .object = event->object,
					 .is_address = event->is_address,
					 .name = event->name ? event->name : "",
					 .kind = track->kind,
					 .thread = track->thread,
					 .waker = PERFETTO_NONE,
					 .stack = PERFETTO_NONE,
					 .outer = track->open,
					 .is_open = event->is_open};
	if (event->stack && !u64_map_find(&reading->stack_of, event->stack, &slice->stack))
		fail(reading, BROKEN);
	track->open = (uint32_t)file->slice_count - 1;
}

static void end_slice(struct reading *reading, struct track *track, const struct event *event,
		      uint64_t time_ns)
{
	if (track->open == PERFETTO_NONE) {
		fail(reading, BROKEN);
		return;
	}
	struct perfetto_slice *slice = &reading->file->slices[track->open];
	slice->end_ns = time_ns;
	slice->is_open |= event->is_open;
	track->last_wait = track->open;
	track->open = slice->outer;
}

/* Both ends of a flow, and the lives of threads. */
static void read_instant(struct reading *reading, const struct track *track, const struct event *event,
			 const struct proto_field *field, uint64_t time_ns)
{
	struct proto_reader reader = proto_reader_of(field);
	struct proto_field part;
	uint32_t waker;
	while (proto_reader_next(&reader, &part)) {
		if (part.number == EVENT_FLOW)
			put(reading, &reading->waker_of, part.value, track->thread);
		if (part.number == EVENT_TERMINATING_FLOW && track->kind == PERFETTO_WAIT &&
		    track->last_wait != PERFETTO_NONE && u64_map_find(&reading->waker_of, part.value, &waker))
			reading->file->slices[track->last_wait].waker = waker;
	}
	if (track->kind != PERFETTO_REGION || !event->name)
		return;
	if (strcmp(event->name, "started") == 0)
		reading->file->threads[track->thread].begin_ns = time_ns;
	if (strcmp(event->name, "ended") == 0)
		reading->file->threads[track->thread].end_ns = time_ns;
}

static void take_event(struct reading *reading, const struct proto_field *field, uint64_t time_ns)
{
	struct event event = read_event(reading, field);
	struct track *track = find_track(reading, event.track);
	if (!track || reading->wrong) {
		fail(reading, FOREIGN);
		return;
	}
	if (event.type == TYPE_INSTANT)
		read_instant(reading, track, &event, field, time_ns);
	else if (event.type == TYPE_SLICE_BEGIN && track->kind != PERFETTO_KINDS)
		begin_slice(reading, track, &event, time_ns);
	else if (event.type == TYPE_SLICE_END && track->kind != PERFETTO_KINDS)
		end_slice(reading, track, &event, time_ns);
}

/* ---- packets ------------------------------------------------------------------------------------ */

static void read_packet(struct reading *reading, const struct proto_field *packet)
{
	struct perfetto_file *file = reading->file;
	struct proto_field field;
	uint64_t sequence = proto_number(packet, PACKET_SEQUENCE_ID, 0);
	uint64_t time_ns = proto_number(packet, PACKET_TIMESTAMP, 0);
	if (!reading->sequence) {
		struct proto_field clocks;
		struct proto_field clock;
		if (!proto_find(packet, PACKET_CLOCK_SNAPSHOT, &clocks) ||
		    proto_number(&clocks, SNAPSHOT_PRIMARY, 0) != PERFETTO_CLOCK_MONOTONIC ||
		    !proto_find(&clocks, SNAPSHOT_CLOCKS, &clock) || sequence == 0)
			fail(reading, FOREIGN);
		reading->sequence = sequence;
		return;
	}
	if (sequence != reading->sequence || time_ns < file->end_ns) {
		fail(reading, FOREIGN);
		return;
	}
	if (file->begin_ns == 0)
		file->begin_ns = time_ns;
	file->end_ns = time_ns;
	if (proto_find(packet, PACKET_INTERNED_DATA, &field) && field.bytes)
		read_interned(reading, &field);
	if (proto_find(packet, PACKET_TRACK_DESCRIPTOR, &field) && field.bytes)
		read_track(reading, &field);
	if (proto_find(packet, PACKET_TRACK_EVENT, &field) && field.bytes)
		take_event(reading, &field, time_ns);
}

static void finish(struct perfetto_file *file)
{
	for (size_t i = 0; i < file->slice_count; i++)
		if (file->slices[i].end_ns == 0) {
			file->slices[i].end_ns = file->end_ns;
			file->slices[i].is_open = true;
		}
	for (size_t i = 0; i < file->thread_count; i++)
		if (file->threads[i].end_ns == 0)
			file->threads[i].end_ns = file->end_ns;
}

const char *perfetto_file_read(const unsigned char *bytes, size_t size, struct perfetto_file *out_file)
{
	*out_file = (struct perfetto_file){.process_name = ""};
	struct reading reading = {.file = out_file};
	struct proto_reader packets = {.at = bytes, .end = bytes + size};
	struct proto_field packet;
	while (!reading.wrong && proto_reader_next(&packets, &packet)) {
		if (packet.number != TRACE_PACKET || !packet.bytes)
			fail(&reading, reading.sequence ? BROKEN : NOT_A_TRACE);
		else
			read_packet(&reading, &packet);
	}
	if (packets.is_bad || !reading.sequence)
		fail(&reading, reading.sequence ? BROKEN : NOT_A_TRACE);
	finish(out_file);
	free(reading.tracks);
	free(reading.texts);
	u64_map_fini(&reading.track_of);
	u64_map_fini(&reading.text_of);
	u64_map_fini(&reading.frame_of);
	u64_map_fini(&reading.stack_of);
	u64_map_fini(&reading.waker_of);
	return reading.wrong;
}

void perfetto_file_free(struct perfetto_file *file)
{
	free(file->threads);
	free(file->slices);
	free(file->frames);
	free(file->stacks);
	arena_fini(&file->arena);
	*file = (struct perfetto_file){.process_name = ""};
}
