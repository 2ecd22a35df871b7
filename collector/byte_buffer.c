/* SPDX-License-Identifier: MIT */
/*
 * A message's length comes before it and is known after it: one byte is left for it,
 * which is enough for nearly all of them; the others are moved.
 *
 * Context: see byte_buffer.h.
 */
#include "byte_buffer.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES ((size_t)4 << 10)
#define VARINT_BYTES_MAX 10

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2 };

static bool reserve(struct byte_buffer *buffer, size_t more)
{
	if (buffer->is_failed)
		return false;
	if (more <= buffer->capacity - buffer->size)
		return true;
	size_t capacity = buffer->capacity ? buffer->capacity : FIRST_BYTES;
	while (capacity - buffer->size < more && capacity <= SIZE_MAX / 2)
		capacity *= 2;
	unsigned char *grown = capacity - buffer->size >= more ? realloc(buffer->bytes, capacity) : NULL;
	if (!grown) {
		buffer->is_failed = true;
		return false;
	}
	buffer->bytes = grown;
	buffer->capacity = capacity;
	return true;
}

void byte_buffer_add(struct byte_buffer *buffer, const void *bytes, size_t size)
{
	if (size == 0 || !reserve(buffer, size))
		return;
	memcpy(buffer->bytes + buffer->size, bytes, size);
	buffer->size += size;
}

void byte_buffer_byte(struct byte_buffer *buffer, unsigned char byte)
{
	if (reserve(buffer, 1))
		buffer->bytes[buffer->size++] = byte;
}

static size_t encode_varint(uint64_t value, unsigned char *out_bytes)
{
	size_t size = 0;
	for (; value >= 0x80; value >>= 7)
		out_bytes[size++] = (unsigned char)(value | 0x80);
	out_bytes[size++] = (unsigned char)value;
	return size;
}

void byte_buffer_varint(struct byte_buffer *buffer, uint64_t value)
{
	if (reserve(buffer, VARINT_BYTES_MAX))
		buffer->size += encode_varint(value, buffer->bytes + buffer->size);
}

void byte_buffer_free(struct byte_buffer *buffer)
{
	free(buffer->bytes);
	*buffer = (struct byte_buffer){0};
}

static void add_tag(struct byte_buffer *buffer, uint32_t field, enum wire_type type)
{
	byte_buffer_varint(buffer, (uint64_t)field << 3 | type);
}

void proto_varint(struct byte_buffer *buffer, uint32_t field, uint64_t value)
{
	add_tag(buffer, field, WIRE_VARINT);
	byte_buffer_varint(buffer, value);
}

void proto_fixed64(struct byte_buffer *buffer, uint32_t field, uint64_t value)
{
	unsigned char bytes[sizeof value];
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (unsigned char)(value >> (8 * i));
	add_tag(buffer, field, WIRE_FIXED64);
	byte_buffer_add(buffer, bytes, sizeof bytes);
}

void proto_string(struct byte_buffer *buffer, uint32_t field, const char *text)
{
	size_t size = strlen(text);
	add_tag(buffer, field, WIRE_BYTES);
	byte_buffer_varint(buffer, size);
	byte_buffer_add(buffer, text, size);
}

size_t proto_begin(struct byte_buffer *buffer, uint32_t field)
{
	add_tag(buffer, field, WIRE_BYTES);
	byte_buffer_byte(buffer, 0);
	return buffer->size;
}

void proto_end(struct byte_buffer *buffer, size_t begun)
{
	if (!reserve(buffer, VARINT_BYTES_MAX))
		return;
	unsigned char length[VARINT_BYTES_MAX];
	size_t size = buffer->size - begun;
	size_t length_bytes = encode_varint(size, length);
	unsigned char *message = buffer->bytes + begun;
	if (length_bytes > 1)
		memmove(message + length_bytes - 1, message, size);
	memcpy(message - 1, length, length_bytes);
	buffer->size += length_bytes - 1;
}
