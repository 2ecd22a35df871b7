/* SPDX-License-Identifier: MIT */
/*
 * Small texts in fixed buffers (log lines, paths, environment strings), without
 * stdio, which allocates and locks.  A text that does not fit is cut and says so.
 *
 * Context: any (async-signal-safe).
 */
#ifndef PRELOAD_TEXT_H
#define PRELOAD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *bytes; /* always NUL-terminated */
	size_t capacity;
	size_t length;
	bool is_cut;
};

static inline void text_init(struct text *text, char *bytes, size_t capacity)
{
	*text = (struct text){.bytes = bytes, .capacity = capacity};
	bytes[0] = '\0';
}

static inline void text_add_bytes(struct text *text, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (text->length + 1 >= text->capacity) {
			text->is_cut = true;
			break;
		}
		text->bytes[text->length++] = bytes[i];
	}
	text->bytes[text->length] = '\0';
}

static inline void text_add(struct text *text, const char *string)
{
	size_t length = 0;
	while (string[length])
		length++;
	text_add_bytes(text, string, length);
}

static inline void text_add_u64(struct text *text, uint64_t number)
{
	char digits[20];
	size_t n = sizeof digits;
	do
		digits[--n] = (char)('0' + number % 10);
	while (number /= 10);
	text_add_bytes(text, digits + n, sizeof digits - n);
}

static inline void text_add_hex(struct text *text, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		text_add_bytes(text, &"0123456789abcdef"[bytes[i] >> 4], 1);
		text_add_bytes(text, &"0123456789abcdef"[bytes[i] & 15], 1);
	}
}

static inline bool text_equals(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

/* The part behind `prefix` if `string` begins with it, else NULL. */
static inline const char *text_after(const char *string, const char *prefix)
{
	while (*prefix)
		if (*string++ != *prefix++)
			return NULL;
	return string;
}

/* The part behind the last slash. */
static inline const char *text_basename(const char *path)
{
	const char *base = path;
	for (const char *p = path; *p; p++)
		if (*p == '/')
			base = p + 1;
	return base;
}

#endif
