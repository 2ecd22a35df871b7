/* SPDX-License-Identifier: MIT */
/*
 * An answer before it is sent: status, the headers that matter, a body.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_HTTP_REPLY_H
#define COLLECTOR_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "cprof_compiler.h"
#include "text_buffer.h"

#define HTTP_TEXT "text/plain; charset=utf-8"
#define HTTP_HTML "text/html; charset=utf-8"
#define HTTP_BYTES "application/octet-stream"

/* All zero is valid and has nothing to free. */
struct http_reply {
	unsigned status;
	const char *content_type; /* a constant */
	char file_name[64];       /* of an attachment, "": none */
	char location[512];       /* of a redirection */
	char process[16];         /* whom it shows, where there are several: a pid */
	const char *allow;        /* a constant */
	bool is_nosniff;
	bool is_pprof_error; /* X-Go-Pprof: go tool pprof then shows the body */
	bool asks_password;
	bool is_page;        /* nothing may be loaded from elsewhere, or put around it */
	unsigned char *body; /* malloc'ed */
	size_t size;
};

/* One line, as Go's http.Error() writes it. */
void http_reply_error(struct http_reply *reply, unsigned status, const char *format, ...) PRINTF_LIKE(3, 4);

/* The same, as net/http/pprof writes it. */
void http_reply_pprof_error(struct http_reply *reply, unsigned status, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* 200 with a body that is taken over; without one (no memory): 500. */
void http_reply_body(struct http_reply *reply, const char *content_type, unsigned char *body, size_t size);

/* The same with a text; the buffer is empty afterwards. */
void http_reply_text(struct http_reply *reply, const char *content_type, struct text_buffer *text);

void http_reply_free(struct http_reply *reply);

#endif
