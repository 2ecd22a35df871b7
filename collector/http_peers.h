/* SPDX-License-Identifier: MIT */
/*
 * The connections of the HTTP server: what libmicrohttpd tells of them, and the answers
 * that they get.  For http.c, which gives requests their turns.
 *
 * Context: collector, main thread.
 */
#ifndef COLLECTOR_HTTP_PEERS_H
#define COLLECTOR_HTTP_PEERS_H

#include "http_library.h"
#include "http_serve.h"

enum peer_state { PEER_IDLE, PEER_RECEIVING, PEER_WAITING, PEER_WATCHING, PEER_REPLYING };

/* A response, and by how many peers it is still to be queued. */
struct answer {
	unsigned references;
	unsigned status;
	struct MHD_Response *response;
};

/* A connection with the request that is served on it. */
struct peer {
	struct peer *next;
	struct MHD_Connection *connection;
	int fd;
	enum peer_state state;
	bool is_new;      /* its first request has not come yet */
	bool is_shut;     /* only to be freed */
	int64_t since_ms; /* in this state */
	int64_t due_ms;   /* of what it watches */
	char *uri;
	struct http_request request;
	struct http_reply refusal; /* status 0: none */
	struct text_buffer body;
	struct http_watch watch;
	struct answer *answer; /* of REPLYING, if it was asleep before */
};

struct http {
	const struct http_library *mhd;
	struct http_config config;
	const struct push *push; /* for metrics; NULL: nothing is sent */
	struct MHD_Daemon *daemon;
	int epoll_fd;
	int64_t now_ms;
	struct peer *peers; /* newest first */
	unsigned peer_count;
	unsigned watch_count;
};

/* A peer's new state begins now. */
void http_peer_set_state(struct http *http, struct peer *peer, enum peer_state state);

/* Ends a connection: libmicrohttpd finds out and has the peer freed. */
void http_peer_shut(struct peer *peer);

/* Gives a sleeping peer its answer, which it will queue; NULL: there is none, it is dropped. */
void http_peer_wake(struct http *http, struct peer *peer, struct answer *answer);

/* The reply as an answer with one reference; the reply's body is taken over.  NULL: no memory. */
struct answer *http_peers_make_answer(const struct http *http, struct http_reply *reply);

/* Takes off a reference; NULL is accepted. */
void http_peers_drop_answer(const struct http *http, struct answer *answer);

/* For libmicrohttpd, with the struct http as the first argument. */
void http_peers_on_connection(void *argument, struct MHD_Connection *connection, void **socket_context,
			      enum MHD_ConnectionNotificationCode what);
enum MHD_Result http_peers_on_request(void *argument, struct MHD_Connection *connection, const char *url,
				      const char *method, const char *version, const char *upload_data,
				      size_t *upload_data_size, void **context);
void *http_peers_on_uri(void *argument, const char *uri, struct MHD_Connection *connection);
void http_peers_on_completed(void *argument, struct MHD_Connection *connection, void **context,
			     enum MHD_RequestTerminationCode how);

#endif
