/* SPDX-License-Identifier: MIT */
/*
 * Errors have no owner of a failed allocation: a body that cannot be made is left out.
 *
 * Context: see http_reply.h.
 */
#include "http_reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void set_line(struct http_reply *reply, unsigned status, const char *format, va_list args)
{
	char *line = NULL;
	char *body = NULL;
	int size = -1;
	*reply = (struct http_reply){.status = status, .content_type = HTTP_TEXT, .is_nosniff = true};
	if (vasprintf(&line, format, args) >= 0) {
		size = asprintf(&body, "%s\n", line);
		free(line);
	}
	if (size < 0)
		return;
	reply->body = (unsigned char *)body;
	reply->size = (size_t)size;
}

void http_reply_error(struct http_reply *reply, unsigned status, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	set_line(reply, status, format, args);
	va_end(args);
}

void http_reply_pprof_error(struct http_reply *reply, unsigned status, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	set_line(reply, status, format, args);
	va_end(args);
	reply->is_pprof_error = true;
}

void http_reply_body(struct http_reply *reply, const char *content_type, unsigned char *body, size_t size)
{
	if (!body) {
		http_reply_pprof_error(reply, 500, "no memory");
		return;
	}
	*reply = (struct http_reply){
		.status = 200, .content_type = content_type, .is_nosniff = true, .body = body, .size = size};
}

void http_reply_text(struct http_reply *reply, const char *content_type, struct text_buffer *text)
{
	size_t size = text->size;
	http_reply_body(reply, content_type, (unsigned char *)text_buffer_take(text), size);
}

void http_reply_free(struct http_reply *reply)
{
	free(reply->body);
	*reply = (struct http_reply){0};
}
