/* SPDX-License-Identifier: MIT */
/*
 * Numbers of the fields and values of Perfetto's public trace format that we write and
 * read: message by message, as in its protos/perfetto/trace/ .proto files.
 *
 * Context: collector and command line: constants only.
 */
#ifndef COLLECTOR_PERFETTO_FIELDS_H
#define COLLECTOR_PERFETTO_FIELDS_H

enum perfetto_trace_field { TRACE_PACKET = 1 };

enum perfetto_packet_field {
	PACKET_CLOCK_SNAPSHOT = 6,
	PACKET_TIMESTAMP = 8,
	PACKET_SEQUENCE_ID = 10,
	PACKET_TRACK_EVENT = 11,
	PACKET_INTERNED_DATA = 12,
	PACKET_SEQUENCE_FLAGS = 13,
	PACKET_TIMESTAMP_CLOCK = 58,
	PACKET_DEFAULTS = 59,
	PACKET_TRACK_DESCRIPTOR = 60,
	PACKET_PERF_SAMPLE = 66
};

enum { SEQUENCE_STATE_CLEARED = 1, SEQUENCE_NEEDS_STATE = 2 };

enum perfetto_clock_snapshot_field { SNAPSHOT_CLOCKS = 1, SNAPSHOT_PRIMARY = 2 };
enum perfetto_clock_field { CLOCK_ID = 1, CLOCK_TIME = 2 };
enum { PERFETTO_CLOCK_REALTIME = 1, PERFETTO_CLOCK_MONOTONIC = 3 };

enum perfetto_track_field {
	TRACK_UUID = 1,
	TRACK_NAME = 2,
	TRACK_PROCESS = 3,
	TRACK_THREAD = 4,
	TRACK_PARENT = 5,
	TRACK_COUNTER = 8
};
enum perfetto_process_field { PROCESS_PID = 1, PROCESS_NAME = 6 };
enum perfetto_thread_field { THREAD_PID = 1, THREAD_TID = 2, THREAD_NAME = 5 };
enum perfetto_counter_field { COUNTER_UNIT = 3 };
enum { UNIT_COUNT = 2, UNIT_BYTES = 3 };

enum perfetto_event_field {
	EVENT_CATEGORY_IID = 3,
	EVENT_ANNOTATION = 4,
	EVENT_TYPE = 9,
	EVENT_NAME_IID = 10,
	EVENT_TRACK = 11,
	EVENT_NAME = 23,
	EVENT_COUNTER_VALUE = 30,
	EVENT_FLOW = 47,
	EVENT_TERMINATING_FLOW = 48,
	EVENT_CORRELATION = 52,
	EVENT_CALLSTACK_IID = 56
};
enum { TYPE_SLICE_BEGIN = 1, TYPE_SLICE_END = 2, TYPE_INSTANT = 3, TYPE_COUNTER = 4 };

enum perfetto_annotation_field {
	ANNOTATION_NAME_IID = 1,
	ANNOTATION_BOOL = 2,
	ANNOTATION_UINT = 3,
	ANNOTATION_POINTER = 7,
	ANNOTATION_STRING_IID = 17
};

enum perfetto_interned_field {
	INTERNED_CATEGORIES = 1,
	INTERNED_EVENT_NAMES = 2,
	INTERNED_ANNOTATION_NAMES = 3,
	INTERNED_FUNCTIONS = 5,
	INTERNED_FRAMES = 6,
	INTERNED_CALLSTACKS = 7,
	INTERNED_SOURCES = 18,
	INTERNED_ANNOTATION_STRINGS = 29
};
/* Of all that are a number and a text. */
enum { INTERNED_IID = 1, INTERNED_TEXT = 2 };
enum perfetto_frame_field { FRAME_IID = 1, FRAME_FUNCTION = 2, FRAME_SOURCE = 5, FRAME_LINE = 6 };
enum perfetto_callstack_field { CALLSTACK_IID = 1, CALLSTACK_FRAMES = 2 };

enum perfetto_sample_field { SAMPLE_PID = 2, SAMPLE_TID = 3, SAMPLE_CALLSTACK = 4, SAMPLE_MODE = 5 };
enum { MODE_USER = 2 };

#endif
