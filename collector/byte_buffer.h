/* SPDX-License-Identifier: MIT */
/*
 * Growing bytes and the varints that trace formats are made of: protobuf fields, with
 * messages inside messages, and the plain ones of Go's traces.  A failure (no memory) is
 * remembered and asked for once, at the end; what is added after it is lost.
 *
 * Context: collector; one owner.
 */
#ifndef COLLECTOR_BYTE_BUFFER_H
#define COLLECTOR_BYTE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero is empty. */
struct byte_buffer {
	unsigned char *bytes;
	size_t size;
	size_t capacity;
	bool is_failed;
};

void byte_buffer_add(struct byte_buffer *buffer, const void *bytes, size_t size);
void byte_buffer_byte(struct byte_buffer *buffer, unsigned char byte);

/* Seven bits a byte, the lowest first. */
void byte_buffer_varint(struct byte_buffer *buffer, uint64_t value);

void byte_buffer_free(struct byte_buffer *buffer);

/* ---- protobuf fields ---------------------------------------------------------------- */

void proto_varint(struct byte_buffer *buffer, uint32_t field, uint64_t value);
void proto_fixed64(struct byte_buffer *buffer, uint32_t field, uint64_t value);
void proto_string(struct byte_buffer *buffer, uint32_t field, const char *text);

/* Everything between these two is the message that the field holds. */
size_t proto_begin(struct byte_buffer *buffer, uint32_t field);
void proto_end(struct byte_buffer *buffer, size_t begun);

#endif
