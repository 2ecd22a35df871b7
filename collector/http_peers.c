/* SPDX-License-Identifier: MIT */
/*
 * A connection is only ever ended by shutting its socket down; libmicrohttpd then finds
 * out and tells us.  So there is one place where a peer is freed.
 *
 * Context: collector, main thread; see http_peers.h.
 */
#include "http_peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>

#include "http.h"
#include "http_auth.h"

/* ---- connections ----------------------------------------------------------------------------- */

void http_peer_set_state(struct http *http, struct peer *peer, enum peer_state state)
{
	peer->state = state;
	peer->since_ms = http->now_ms;
}

void http_peer_shut(struct peer *peer)
{
	peer->is_shut = true;
	shutdown(peer->fd, SHUT_RDWR);
}

static void stop_watching(struct http *http, struct peer *peer)
{
	if (peer->state != PEER_WATCHING)
		return;
	http->watch_count--;
	http_watch_fini(&peer->watch);
	epoll_ctl(http->epoll_fd, EPOLL_CTL_DEL, peer->fd, NULL);
}

void http_peers_drop_answer(const struct http *http, struct answer *answer)
{
	if (!answer || --answer->references)
		return;
	http->mhd->destroy_response(answer->response);
	free(answer);
}

static void forget_request(struct http *http, struct peer *peer)
{
	stop_watching(http, peer);
	text_buffer_free(&peer->body);
	http_reply_free(&peer->refusal);
	free(peer->uri);
	peer->uri = NULL;
	http_peers_drop_answer(http, peer->answer);
	peer->answer = NULL;
}

static struct peer *peer_of(const struct http *http, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		http->mhd->get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return info ? info->socket_context : NULL;
}

/* Makes room for one more: of those without a request, the one that has been silent for longest goes. */
static void drop_silent(struct http *http)
{
	struct peer *silent = NULL;
	for (struct peer *peer = http->peers; peer; peer = peer->next)
		if (peer->state == PEER_IDLE && !peer->is_shut &&
		    (!silent || peer->since_ms <= silent->since_ms))
			silent = peer;
	if (silent)
		http_peer_shut(silent);
}

static void add_peer(struct http *http, struct MHD_Connection *connection, void **socket_context)
{
	const union MHD_ConnectionInfo *info =
		http->mhd->get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct peer *peer = calloc(1, sizeof *peer);
	*socket_context = peer;
	if (!peer || !info) {
		free(peer);
		*socket_context = NULL;
		return;
	}
	if (http->peer_count >= HTTP_CONNECTIONS_MAX)
		drop_silent(http);
	peer->connection = connection;
	peer->fd = info->connect_fd;
	peer->is_new = true;
	http_peer_set_state(http, peer, PEER_IDLE);
	peer->next = http->peers;
	http->peers = peer;
	http->peer_count++;
}

static void remove_peer(struct http *http, struct peer *peer)
{
	struct peer **link = &http->peers;
	while (*link && *link != peer)
		link = &(*link)->next;
	if (!*link)
		return;
	*link = peer->next;
	http->peer_count--;
	forget_request(http, peer);
	free(peer);
}

void http_peers_on_connection(void *argument, struct MHD_Connection *connection, void **socket_context,
			      enum MHD_ConnectionNotificationCode what)
{
	struct http *http = argument;
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		add_peer(http, connection, socket_context);
	else if (*socket_context)
		remove_peer(http, *socket_context);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void add_header(const struct http *http, struct MHD_Response *response, const char *name,
		       const char *value)
{
	http->mhd->add_response_header(response, name, value);
}

static struct MHD_Response *make_response(const struct http *http, struct http_reply *reply)
{
	struct MHD_Response *response = http->mhd->create_response_from_buffer(reply->size, reply->body,
									       MHD_RESPMEM_MUST_FREE);
	if (!response) {
		http_reply_free(reply);
		return NULL;
	}
	reply->body = NULL; /* the rest of the reply is only read */
	if (reply->content_type)
		add_header(http, response, "Content-Type", reply->content_type);
	if (reply->is_nosniff)
		add_header(http, response, "X-Content-Type-Options", "nosniff");
	if (reply->is_pprof_error)
		add_header(http, response, "X-Go-Pprof", "1");
	if (reply->asks_password)
		add_header(http, response, "WWW-Authenticate", "Basic realm=\"pprof\"");
	if (reply->allow)
		add_header(http, response, "Allow", reply->allow);
	if (reply->location[0])
		add_header(http, response, "Location", reply->location);
	if (reply->process[0])
		add_header(http, response, "X-Cprof-Process", reply->process);
	if (reply->file_name[0]) {
		char disposition[sizeof reply->file_name + 32];
		snprintf(disposition, sizeof disposition, "attachment; filename=\"%s\"", reply->file_name);
		add_header(http, response, "Content-Disposition", disposition);
	}
	if (reply->is_page)
		add_header(http, response, "Content-Security-Policy",
			   "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
	return response;
}

struct answer *http_peers_make_answer(const struct http *http, struct http_reply *reply)
{
	unsigned status = reply->status;
	struct MHD_Response *response = make_response(http, reply);
	struct answer *answer = response ? malloc(sizeof *answer) : NULL;
	if (answer)
		*answer = (struct answer){.references = 1, .status = status, .response = response};
	else if (response)
		http->mhd->destroy_response(response);
	return answer;
}

void http_peer_wake(struct http *http, struct peer *peer, struct answer *answer)
{
	stop_watching(http, peer);
	http_peer_set_state(http, peer, PEER_REPLYING);
	peer->answer = answer;
	if (answer)
		answer->references++;
	else
		http_peer_shut(peer);
	http->mhd->resume_connection(peer->connection);
}

/*
 * By way of a sleep that ends at once: to a peer that has closed its side libmicrohttpd (0.9.75) does not
 * send what is queued as soon as the request is read.
 */
static void answer_after_all(struct http *http, struct peer *peer, struct http_reply *reply)
{
	struct answer *answer = http_peers_make_answer(http, reply);
	http->mhd->suspend_connection(peer->connection);
	http_peer_wake(http, peer, answer);
	http_peers_drop_answer(http, answer);
}

/* At once, while what is left of the request is not read: the connection ends with it. */
static enum MHD_Result answer_now(struct http *http, struct peer *peer, struct http_reply *reply)
{
	unsigned status = reply->status;
	struct MHD_Response *response = make_response(http, reply);
	if (!response)
		return MHD_NO;
	http_peer_set_state(http, peer, PEER_REPLYING);
	enum MHD_Result result = http->mhd->queue_response(peer->connection, status, response);
	http->mhd->destroy_response(response);
	return result;
}

/* ---- requests -------------------------------------------------------------------------------- */

static const char *header(const struct http *http, struct MHD_Connection *connection, const char *name)
{
	return http->mhd->lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static bool may_ask(const struct http *http, struct peer *peer, struct http_reply *reply)
{
	const struct http_headers headers = {
		.host = header(http, peer->connection, "Host"),
		.authorization = header(http, peer->connection, "Authorization"),
		.origin = header(http, peer->connection, "Origin"),
		.fetch_site = header(http, peer->connection, "Sec-Fetch-Site"),
		.fetch_mode = header(http, peer->connection, "Sec-Fetch-Mode"),
	};
	if (!http_auth_is_same_origin(&http->config, &headers)) {
		http_reply_error(reply, 403, "Forbidden: not asked from this host");
		return false;
	}
	if (!http_auth_has_password(&http->config, &headers)) {
		http_reply_error(reply, 401, "Unauthorized");
		reply->asks_password = true;
		return false;
	}
	return true;
}

/* Whether there is a body that may as well not be sent. */
static bool has_body(const struct http *http, struct peer *peer)
{
	const char *length = header(http, peer->connection, "Content-Length");
	return (length && strcmp(length, "0") != 0) || header(http, peer->connection, "Transfer-Encoding");
}

static enum MHD_Result count_length(void *argument, enum MHD_ValueKind kind, const char *name,
				    const char *value)
{
	unsigned *count = argument;
	(void)kind;
	(void)value;
	*count += strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0;
	return MHD_YES;
}

/* Who sends two lengths may mean one, and a proxy before us the other. */
static bool has_one_length(const struct http *http, struct peer *peer)
{
	unsigned count = 0;
	http->mhd->get_connection_values(peer->connection, MHD_HEADER_KIND, count_length, &count);
	return count <= 1;
}

/*
 * The headers are there: judges them, and lets the body come.  A refusal waits for the
 * end of the request too, if that is the headers' end: only then the connection stays.
 */
static enum MHD_Result begin_request(struct http *http, struct peer *peer, const char *method)
{
	struct http_reply *refusal = &peer->refusal;
	const char *length = header(http, peer->connection, "Content-Length");
	peer->is_new = false;
	http_peer_set_state(http, peer, PEER_RECEIVING);
	if (!peer->uri)
		return MHD_NO;
	if (!has_one_length(http, peer))
		http_reply_error(refusal, 400, "Bad Request: more than one length");
	else if (may_ask(http, peer, refusal) &&
		 http_request_read(method, peer->uri, &peer->request, refusal) && length &&
		 strtoull(length, NULL, 10) > HTTP_BODY_BYTES_MAX)
		http_reply_error(refusal, 413, "Request Entity Too Large");
	return refusal->status && has_body(http, peer) ? answer_now(http, peer, refusal) : MHD_YES;
}

/* False: more than anybody needs. */
static bool take_body(struct peer *peer, const char *bytes, size_t size)
{
	if (size > HTTP_BODY_BYTES_MAX - peer->body.size)
		return false;
	text_buffer_add(&peer->body, bytes, size);
	return !peer->body.is_failed;
}

/* Called by libmicrohttpd as a request proceeds: headers, pieces of a body, its end, after sleep. */
enum MHD_Result http_peers_on_request(void *argument, struct MHD_Connection *connection, const char *url,
				      const char *method, const char *version, const char *upload_data,
				      size_t *upload_data_size, void **context)
{
	struct http *http = argument;
	struct peer *peer = peer_of(http, connection);
	(void)url;
	(void)version;
	(void)context;
	if (!peer || peer->is_shut)
		return MHD_NO;
	switch (peer->state) {
	case PEER_IDLE:
		return begin_request(http, peer, method);
	case PEER_RECEIVING:
		if (*upload_data_size) {
			bool is_taken = take_body(peer, upload_data, *upload_data_size);
			*upload_data_size = 0;
			return is_taken ? MHD_YES : MHD_NO;
		}
		if (peer->refusal.status) {
			answer_after_all(http, peer, &peer->refusal);
			return MHD_YES;
		}
		http_peer_set_state(http, peer, PEER_WAITING);
		http->mhd->suspend_connection(connection);
		return MHD_YES;
	case PEER_REPLYING:
		if (peer->answer)
			return http->mhd->queue_response(connection, peer->answer->status,
							 peer->answer->response);
		/* Refused at its headers: what still comes of its body is not looked at. */
		*upload_data_size = 0;
		return MHD_YES;
	case PEER_WAITING:
	case PEER_WATCHING:
		break;
	}
	return MHD_YES;
}

/* The first line is there; its URI as it was sent. */
void *http_peers_on_uri(void *argument, const char *uri, struct MHD_Connection *connection)
{
	struct peer *peer = peer_of(argument, connection);
	if (peer) {
		free(peer->uri);
		peer->uri = strdup(uri);
	}
	return peer;
}

void http_peers_on_completed(void *argument, struct MHD_Connection *connection, void **context,
			     enum MHD_RequestTerminationCode how)
{
	struct http *http = argument;
	struct peer *peer = peer_of(http, connection);
	(void)context;
	(void)how;
	if (!peer)
		return;
	forget_request(http, peer);
	http_peer_set_state(http, peer, PEER_IDLE);
}
