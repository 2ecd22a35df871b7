/* SPDX-License-Identifier: MIT */
/*
 * Grows by doubling; the old bytes are kept until the new ones are there.
 *
 * Context: see text_buffer.h.
 */
#include "text_buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct text_buffer *text, size_t more)
{
	if (text->is_failed)
		return false;
	if (text->bytes && more < text->capacity - text->size)
		return true;
	size_t capacity = text->capacity ? text->capacity : 1024;
	while (capacity - text->size <= more && capacity <= TEXT_BUFFER_BYTES_MAX)
		capacity *= 2;
	char *grown = more < TEXT_BUFFER_BYTES_MAX && capacity <= TEXT_BUFFER_BYTES_MAX
			      ? realloc(text->bytes, capacity)
			      : NULL;
	if (!grown) {
		text->is_failed = true;
		return false;
	}
	text->bytes = grown;
	text->capacity = capacity;
	return true;
}

void text_buffer_add(struct text_buffer *text, const char *bytes, size_t size)
{
	if (!reserve(text, size))
		return;
	if (size)
		memcpy(text->bytes + text->size, bytes, size);
	text->size += size;
	text->bytes[text->size] = '\0';
}

void text_buffer_string(struct text_buffer *text, const char *string)
{
	text_buffer_add(text, string, strlen(string));
}

void text_buffer_format(struct text_buffer *text, const char *format, ...)
{
	char few[256];
	va_list args;
	va_list again;
	va_start(args, format);
	va_copy(again, args);
	int size = vsnprintf(few, sizeof few, format, args);
	va_end(args);
	if (size >= 0 && (size_t)size < sizeof few) {
		text_buffer_add(text, few, (size_t)size);
	} else if (size < 0 || !reserve(text, (size_t)size)) {
		text->is_failed = true;
	} else {
		vsnprintf(text->bytes + text->size, (size_t)size + 1, format, again);
		text->size += (size_t)size;
	}
	va_end(again);
}

void text_buffer_html(struct text_buffer *text, const char *string)
{
	for (; *string; string++) {
		char c = *string;
		const char *entity = c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : NULL;
		if (c == '"' || c == '\'')
			entity = c == '"' ? "&#34;" : "&#39;";
		else if ((unsigned char)c < 0x20 || c == 0x7f)
			entity = "?";
		if (entity)
			text_buffer_string(text, entity);
		else
			text_buffer_add(text, &c, 1);
	}
}

void text_buffer_quoted(struct text_buffer *text, const char *string)
{
	text_buffer_string(text, "\"");
	for (; *string; string++) {
		unsigned char c = (unsigned char)*string;
		if (c < 0x20 || c == 0x7f)
			text_buffer_format(text, "\\x%02x", c);
		else
			text_buffer_format(text, "%s%c", c == '"' || c == '\\' ? "\\" : "", c);
	}
	text_buffer_string(text, "\"");
}

char *text_buffer_take(struct text_buffer *text)
{
	text_buffer_add(text, "", 0); /* an empty text has bytes too */
	char *bytes = text->is_failed ? NULL : text->bytes;
	if (text->is_failed)
		free(text->bytes);
	*text = (struct text_buffer){0};
	return bytes;
}

void text_buffer_free(struct text_buffer *text)
{
	free(text->bytes);
	*text = (struct text_buffer){0};
}
