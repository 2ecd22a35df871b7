/* SPDX-License-Identifier: MIT */
/*
 * Context: command line; see proto_reader.h.
 */
#include "proto_reader.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static uint64_t read_varint(struct proto_reader *reader)
{
	uint64_t value = 0;
	for (unsigned shift = 0; shift < 70 && reader->at < reader->end; shift += 7) {
		unsigned char byte = *reader->at++;
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	reader->is_bad = true;
	return 0;
}

static uint64_t read_fixed(struct proto_reader *reader, size_t size)
{
	uint64_t value = 0;
	if ((size_t)(reader->end - reader->at) < size) {
		reader->is_bad = true;
		return 0;
	}
	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)*reader->at++ << (8 * i);
	return value;
}

bool proto_reader_next(struct proto_reader *reader, struct proto_field *out_field)
{
	if (reader->is_bad || reader->at == reader->end)
		return false;
	uint64_t tag = read_varint(reader);
	struct proto_field field = {.number = (uint32_t)(tag >> 3)};
	switch (tag & 7) {
	case WIRE_VARINT:
		field.value = read_varint(reader);
		break;
	case WIRE_FIXED64:
		field.value = read_fixed(reader, 8);
		break;
	case WIRE_FIXED32:
		field.value = read_fixed(reader, 4);
		break;
	case WIRE_BYTES:
		field.value = read_varint(reader);
		field.bytes = reader->at;
		if (field.value > (size_t)(reader->end - reader->at))
			reader->is_bad = true;
		else
			reader->at += field.value;
		break;
	default:
		reader->is_bad = true;
		break;
	}
	if (tag >> 3 == 0 || tag >> 3 > UINT32_MAX)
		reader->is_bad = true;
	if (reader->is_bad)
		return false;
	*out_field = field;
	return true;
}

bool proto_find(const struct proto_field *message, uint32_t number, struct proto_field *out_field)
{
	struct proto_field field;
	bool is_found = false;
	if (!message->bytes)
		return false;
	struct proto_reader reader = proto_reader_of(message);
	while (proto_reader_next(&reader, &field)) {
		if (field.number != number)
			continue;
		*out_field = field;
		is_found = true;
	}
	return is_found;
}

uint64_t proto_number(const struct proto_field *message, uint32_t number, uint64_t otherwise)
{
	struct proto_field field;
	return proto_find(message, number, &field) && !field.bytes ? field.value : otherwise;
}
