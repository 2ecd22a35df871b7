/* SPDX-License-Identifier: MIT */
/*
 * The HTTP server of a process tree.  It has no thread: the loop polls one descriptor,
 * lets it move bytes, and gives it the turn to answer one request.  Until then, and
 * while a request watches a process for some seconds, its connection sleeps.
 *
 *     IDLE --headers--> RECEIVING --body--> WAITING --turn--> REPLYING --sent--> IDLE
 *                                              \--turn--> WATCHING --due--/
 *
 * Who is slow in sending or in taking an answer is dropped; when there are too many
 * connections, the one that has been silent for longest is.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_HTTP_H
#define COLLECTOR_HTTP_H

#include "client.h"
#include "http_config.h"
#include "push.h"

/* Prometheus keeps its connection for a minute between scrapes. */
#define HTTP_IDLE_MS 90000
/* From the first byte of a connection, or of a body, to the last. */
#define HTTP_RECEIVE_MS 10000
#define HTTP_REPLY_MS 60000
#define HTTP_CONNECTIONS_MAX 256
#define HTTP_WATCHES_MAX 32
#define HTTP_BODY_BYTES_MAX ((size_t)1 << 20)

struct http;

/*
 * Serves on a listening socket, which it takes over; `push` is borrowed, its metrics are
 * shown.  NULL if it cannot (said why), or if it is not asked for.
 */
struct http *http_open(const struct http_config *config, int listen_fd, const struct push *push);
void http_close(struct http *http);

/* All of these accept NULL, as a server that nobody asks. */

/* To be polled for POLLIN; -1: none. */
int http_fd(const struct http *http);

/* How long a poll may take, at most `limit_ms`. */
int http_patience_ms(const struct http *http, int64_t now_ms, int limit_ms);

/* Accepts, receives, sends, drops; takes no time worth mentioning. */
void http_run(struct http *http, int64_t now_ms);

/* Whether a request waits for its turn. */
bool http_has_job(const struct http *http, int64_t now_ms);

/* Answers one, or begins to watch for it.  May take long; tick(tick_arg) is called meanwhile. */
void http_do_job(struct http *http, struct client *clients, int64_t now_ms, void (*tick)(void *),
		 void *tick_arg);

/* The process is about to be forgotten: who watches it gets what there is. */
void http_end_client(struct http *http, struct client *client, void (*tick)(void *), void *tick_arg);

/* Whether anybody is still to get an answer. */
bool http_is_busy(const struct http *http);

#endif
