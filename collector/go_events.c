/* SPDX-License-Identifier: MIT */
/*
 * Context: collector; see go_events.h.
 */
#include "go_events.h"

#include <string.h>

/* Two bits say how many arguments follow; this many: a length comes first. */
#define MANY_ARGUMENTS 3

/* Readers refuse texts of more than a million bytes. */
#define TEXT_BYTES_MAX ((size_t)64 << 10)

uint64_t go_clock_next(struct go_clock *clock, uint64_t time_ns)
{
	clock->last_ns = time_ns > clock->last_ns ? time_ns : clock->last_ns + 1;
	return clock->last_ns;
}

void go_batch_begin(struct go_batch *batch, uint64_t processor, uint64_t time_ns)
{
	byte_buffer_byte(&batch->bytes, GO_BATCH | 1 << 6);
	byte_buffer_varint(&batch->bytes, processor);
	byte_buffer_varint(&batch->bytes, time_ns);
	batch->time_ns = time_ns;
}

void go_batch_untimed(struct go_batch *batch, enum go_event type, const uint64_t *arguments,
		      uint32_t argument_count)
{
	struct byte_buffer *bytes = &batch->bytes;
	uint32_t code = argument_count - 1 < MANY_ARGUMENTS ? argument_count - 1 : MANY_ARGUMENTS;
	byte_buffer_byte(bytes, (unsigned char)(type | code << 6));
	if (code < MANY_ARGUMENTS) {
		for (uint32_t i = 0; i < argument_count; i++)
			byte_buffer_varint(bytes, arguments[i]);
		return;
	}
	struct byte_buffer body = {0};
	for (uint32_t i = 0; i < argument_count; i++)
		byte_buffer_varint(&body, arguments[i]);
	byte_buffer_varint(bytes, body.size);
	byte_buffer_add(bytes, body.bytes, body.size);
	bytes->is_failed |= body.is_failed;
	byte_buffer_free(&body);
}

void go_batch_add(struct go_batch *batch, enum go_event type, uint64_t time_ns, const uint64_t *arguments,
		  uint32_t argument_count)
{
	uint64_t all[GO_ARGUMENTS_MAX] = {time_ns - batch->time_ns};
	if (argument_count)
		memcpy(all + 1, arguments, argument_count * sizeof *arguments);
	batch->time_ns = time_ns;
	go_batch_untimed(batch, type, all, argument_count + 1);
}

void go_batch_text(struct go_batch *batch, const char *text)
{
	size_t size = strlen(text);
	if (size > TEXT_BYTES_MAX)
		size = TEXT_BYTES_MAX;
	byte_buffer_varint(&batch->bytes, size);
	byte_buffer_add(&batch->bytes, text, size);
}

void go_batch_string(struct go_batch *batch, uint64_t id, const char *text)
{
	byte_buffer_byte(&batch->bytes, GO_STRING);
	byte_buffer_varint(&batch->bytes, id);
	go_batch_text(batch, text);
}
