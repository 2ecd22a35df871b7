/* SPDX-License-Identifier: MIT */
/*
 * Fields of a protobuf message, one after the other, from bytes that may be anything.
 *
 * Context: command line.
 */
#ifndef TOOLS_PROTO_READER_H
#define TOOLS_PROTO_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct proto_reader {
	const unsigned char *at;
	const unsigned char *end;
	bool is_bad; /* something was no field: the rest was not read */
};

struct proto_field {
	uint32_t number;
	uint64_t value;             /* of a number; of bytes: how many */
	const unsigned char *bytes; /* NULL: a number */
};

static inline struct proto_reader proto_reader_of(const struct proto_field *field)
{
	return (struct proto_reader){.at = field->bytes, .end = field->bytes + field->value};
}

/* The next field.  False: there is none, or none that can be read. */
bool proto_reader_next(struct proto_reader *reader, struct proto_field *out_field);

/* What is usually asked of a message: a number, or a message in it.  False: it has no such field. */
bool proto_find(const struct proto_field *message, uint32_t number, struct proto_field *out_field);
uint64_t proto_number(const struct proto_field *message, uint32_t number, uint64_t otherwise);

#endif
