/* SPDX-License-Identifier: MIT */
/*
 * Context: collector; see utf8.h.
 */
#include "utf8.h"

#include <stdint.h>
#include <string.h>

#include "cprof_compiler.h"

/* Length of the UTF-8 sequence (RFC 3629) at text, 0 if it is not one. */
static size_t sequence_length(const unsigned char *text)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
	for (size_t more = 0; more < ARRAY_LENGTH(forms); more++) {
		if ((text[0] & forms[more].mask) != forms[more].lead)
			continue;
		uint32_t point = text[0] & (unsigned char)~forms[more].mask;
		for (size_t i = 1; i <= more; i++) {
			if ((text[i] & 0xc0) != 0x80)
				return 0;
			point = point << 6 | (text[i] & 0x3fu);
		}
		bool is_valid = point >= forms[more].least && point <= 0x10ffff &&
				!(point >= 0xd800 && point < 0xe000);
		return is_valid ? more + 1 : 0;
	}
	return 0;
}

char *utf8_copy(struct arena *arena, const char *text)
{
	char *copy = arena_alloc(arena, 3 * strlen(text) + 1);
	char *to = copy;
	for (const unsigned char *from = (const unsigned char *)text; copy && *from;) {
		size_t length = sequence_length(from);
		memcpy(to, length ? (const char *)from : "\xef\xbf\xbd", length ? length : 3);
		to += length ? length : 3;
		from += length ? length : 1;
	}
	return copy;
}

bool utf8_is_valid(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	while (*at) {
		size_t length = sequence_length(at);
		if (!length)
			return false;
		at += length;
	}
	return true;
}
