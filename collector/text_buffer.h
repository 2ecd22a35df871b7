/* SPDX-License-Identifier: MIT */
/*
 * A growing text.  A failure (no memory, too long) is remembered and asked for once, at
 * the end.
 *
 * Context: any thread; one owner.
 */
#ifndef COLLECTOR_TEXT_BUFFER_H
#define COLLECTOR_TEXT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "cprof_compiler.h"

/* No text that we make is longer; one that is, is cut off as a failure. */
#define TEXT_BUFFER_BYTES_MAX ((size_t)256 << 20)

/* All zero is an empty text. */
struct text_buffer {
	char *bytes; /* NUL-terminated if not NULL */
	size_t size; /* without the NUL */
	size_t capacity;
	bool is_failed;
};

void text_buffer_add(struct text_buffer *text, const char *bytes, size_t size);
void text_buffer_string(struct text_buffer *text, const char *string);
void text_buffer_format(struct text_buffer *text, const char *format, ...) PRINTF_LIKE(2, 3);

/* For HTML, in text or in a quoted attribute; control characters become '?'. */
void text_buffer_html(struct text_buffer *text, const char *string);

/* In double quotes, with backslashes before what needs them; control characters as \xNN. */
void text_buffer_quoted(struct text_buffer *text, const char *string);

/* The text, NUL-terminated, owned by the caller, or NULL if something failed; the buffer is empty after. */
char *text_buffer_take(struct text_buffer *text);

void text_buffer_free(struct text_buffer *text);

#endif
