/* SPDX-License-Identifier: MIT */
/*
 * libmicrohttpd drives its own epoll descriptor.  Ours holds that one, and the sockets of
 * sleeping connections, which libmicrohttpd does not look at: a client that hangs up
 * ends what is done for it.
 *
 * A connection is only ever ended by shutting its socket down; libmicrohttpd then finds
 * out and tells us.  So there is one place where a peer is freed.
 *
 * Context: collector, main thread.
 */
#include "http.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "http_auth.h"
#include "http_library.h"
#include "http_serve.h"
#include "log.h"

#define CONNECTION_MEMORY ((size_t)32 << 10)
#define EVENTS_AT_ONCE 16

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
	struct MHD_Daemon *daemon;
	int epoll_fd;
	int64_t now_ms;
	struct peer *peers; /* newest first */
	unsigned peer_count;
	unsigned watch_count;
};

/* ---- connections ----------------------------------------------------------------------------- */

static void set_state(struct http *http, struct peer *peer, enum peer_state state)
{
	peer->state = state;
	peer->since_ms = http->now_ms;
}

static void shut(struct peer *peer)
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

static void drop_answer(const struct http *http, struct answer *answer)
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
	drop_answer(http, peer->answer);
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
		shut(silent);
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
	set_state(http, peer, PEER_IDLE);
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

static void on_connection(void *argument, struct MHD_Connection *connection, void **socket_context,
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

/* The reply's body becomes the response's.  NULL: no memory. */
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

/* Gives a sleeping peer its answer, which it will queue; NULL: there is none, it is dropped. */
static void wake(struct http *http, struct peer *peer, struct answer *answer)
{
	stop_watching(http, peer);
	set_state(http, peer, PEER_REPLYING);
	peer->answer = answer;
	if (answer)
		answer->references++;
	else
		shut(peer);
	http->mhd->resume_connection(peer->connection);
}

/* The same to a peer whose request is being read. */
static enum MHD_Result answer_now(struct http *http, struct peer *peer, struct http_reply *reply)
{
	unsigned status = reply->status;
	struct MHD_Response *response = make_response(http, reply);
	if (!response)
		return MHD_NO;
	set_state(http, peer, PEER_REPLYING);
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

/*
 * The headers are there: judges them, and lets the body come.  A refusal waits for the
 * end of the request too, if that is the headers' end: only then the connection stays.
 */
static enum MHD_Result begin_request(struct http *http, struct peer *peer, const char *method)
{
	struct http_reply *refusal = &peer->refusal;
	const char *length = header(http, peer->connection, "Content-Length");
	peer->is_new = false;
	set_state(http, peer, PEER_RECEIVING);
	if (!peer->uri)
		return MHD_NO;
	if (may_ask(http, peer, refusal) && http_request_read(method, peer->uri, &peer->request, refusal) &&
	    length && strtoull(length, NULL, 10) > HTTP_BODY_BYTES_MAX)
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
static enum MHD_Result on_request(void *argument, struct MHD_Connection *connection, const char *url,
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
		if (peer->refusal.status)
			return answer_now(http, peer, &peer->refusal);
		set_state(http, peer, PEER_WAITING);
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
static void *on_uri(void *argument, const char *uri, struct MHD_Connection *connection)
{
	struct peer *peer = peer_of(argument, connection);
	if (peer) {
		free(peer->uri);
		peer->uri = strdup(uri);
	}
	return peer;
}

static void on_completed(void *argument, struct MHD_Connection *connection, void **context,
			 enum MHD_RequestTerminationCode how)
{
	struct http *http = argument;
	struct peer *peer = peer_of(http, connection);
	(void)context;
	(void)how;
	if (!peer)
		return;
	forget_request(http, peer);
	set_state(http, peer, PEER_IDLE);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static bool is_due(const struct peer *peer, int64_t now_ms)
{
	return peer->state == PEER_WATCHING && now_ms >= peer->due_ms;
}

/* What is due comes first, then who came first. */
static struct peer *next_job(const struct http *http, int64_t now_ms)
{
	struct peer *next = NULL;
	for (struct peer *peer = http->peers; peer; peer = peer->next) {
		if (is_due(peer, now_ms))
			return peer;
		if (peer->state == PEER_WAITING && (!next || peer->since_ms <= next->since_ms))
			next = peer;
	}
	return next;
}

bool http_has_job(const struct http *http, int64_t now_ms)
{
	return http && next_job(http, now_ms);
}

/* Wakes a peer, and with it all who wait for an answer to the same question. */
static void answer(struct http *http, struct peer *first, struct http_reply *reply)
{
	struct answer *shared = malloc(sizeof *shared);
	unsigned status = reply->status;
	bool is_for_all = !first->request.is_post && !first->request.seconds;
	struct MHD_Response *response = make_response(http, reply);
	if (!shared || !response) {
		if (response)
			http->mhd->destroy_response(response);
		free(shared);
		wake(http, first, NULL);
		return;
	}
	*shared = (struct answer){.references = 1, .status = status, .response = response};
	for (struct peer *peer = http->peers; peer && is_for_all; peer = peer->next)
		if (peer != first && peer->state == PEER_WAITING && !peer->request.is_post &&
		    strcmp(peer->uri, first->uri) == 0)
			wake(http, peer, shared);
	wake(http, first, shared);
	drop_answer(http, shared);
}

static void begin_watch(struct http *http, struct peer *peer, const struct http_turn *turn)
{
	struct http_reply reply = {0};
	struct epoll_event hang_up = {.events = EPOLLRDHUP, .data.ptr = peer};
	if (http->watch_count >= HTTP_WATCHES_MAX && peer->request.kind == PROFILE_CPU) {
		http_reply_pprof_error(&reply, 500,
				       "Could not enable CPU profiling: cpu profiling already in use");
	} else if (http->watch_count >= HTTP_WATCHES_MAX) {
		http_reply_pprof_error(&reply, 503, "too many profiles are being taken");
	} else if (http_serve_begin(turn, &peer->request, &peer->watch, &reply)) {
		http->watch_count++;
		set_state(http, peer, PEER_WATCHING);
		peer->due_ms = http->now_ms + (int64_t)peer->request.seconds * 1000;
		epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, peer->fd, &hang_up);
		return;
	}
	answer(http, peer, &reply);
}

static struct client *client_by_id(struct client *clients, uint32_t id)
{
	while (clients && clients->handle.id != id)
		clients = clients->next;
	return clients;
}

static void end_watch(struct http *http, struct peer *peer, struct client *client,
		      const struct http_turn *turn)
{
	struct http_reply reply = {0};
	http_serve_end(turn, &peer->request, client, &peer->watch, &reply);
	answer(http, peer, &reply);
}

void http_do_job(struct http *http, struct client *clients, int64_t now_ms, void (*tick)(void *),
		 void *tick_arg)
{
	const struct http_turn turn = {&http->config, clients, http->watch_count, tick, tick_arg};
	struct http_reply reply = {0};
	struct peer *peer = next_job(http, now_ms);
	http->now_ms = now_ms;
	if (!peer)
		return;
	if (peer->state == PEER_WATCHING) {
		end_watch(http, peer, client_by_id(clients, peer->watch.client_id), &turn);
	} else if (peer->request.seconds) {
		begin_watch(http, peer, &turn);
	} else {
		http_serve(&turn, &peer->request, peer->body.bytes ? peer->body.bytes : "", &reply);
		answer(http, peer, &reply);
	}
}

void http_end_client(struct http *http, struct client *client, void (*tick)(void *), void *tick_arg)
{
	if (!http)
		return;
	const struct http_turn turn = {&http->config, NULL, http->watch_count, tick, tick_arg};
	for (struct peer *peer = http->peers; peer; peer = peer->next)
		if (peer->state == PEER_WATCHING && peer->watch.client_id == client->handle.id)
			end_watch(http, peer, client, &turn);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static bool is_too_slow(const struct peer *peer, int64_t now_ms)
{
	int64_t age_ms = now_ms - peer->since_ms;
	switch (peer->state) {
	case PEER_IDLE:
		return age_ms >= (peer->is_new ? HTTP_RECEIVE_MS : HTTP_IDLE_MS);
	case PEER_RECEIVING:
		return age_ms >= HTTP_RECEIVE_MS;
	case PEER_REPLYING:
		return age_ms >= HTTP_REPLY_MS;
	case PEER_WAITING:
	case PEER_WATCHING:
		break;
	}
	return false;
}

void http_run(struct http *http, int64_t now_ms)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	if (!http)
		return;
	http->now_ms = now_ms;
	int count = epoll_wait(http->epoll_fd, events, EVENTS_AT_ONCE, 0);
	for (int i = 0; i < count; i++)
		if (events[i].data.ptr)
			wake(http, events[i].data.ptr, NULL); /* nobody wants to know any more */
	for (struct peer *peer = http->peers; peer; peer = peer->next)
		if (!peer->is_shut && is_too_slow(peer, now_ms))
			shut(peer);
	http->mhd->run(http->daemon);
}

int http_fd(const struct http *http)
{
	return http ? http->epoll_fd : -1;
}

int http_patience_ms(const struct http *http, int64_t now_ms, int limit_ms)
{
	MHD_UNSIGNED_LONG_LONG mhd_ms;
	if (!http)
		return limit_ms;
	if (http->mhd->get_timeout(http->daemon, &mhd_ms) == MHD_YES && mhd_ms < (unsigned)limit_ms)
		limit_ms = (int)mhd_ms;
	for (const struct peer *peer = http->peers; peer; peer = peer->next) {
		if (peer->state == PEER_WATCHING && peer->due_ms - now_ms < limit_ms)
			limit_ms = peer->due_ms > now_ms ? (int)(peer->due_ms - now_ms) : 0;
		if (peer->state == PEER_WAITING)
			limit_ms = 0;
	}
	return limit_ms;
}

bool http_is_busy(const struct http *http)
{
	for (const struct peer *peer = http ? http->peers : NULL; peer; peer = peer->next)
		if (peer->state != PEER_IDLE && !peer->is_shut)
			return true;
	return false;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* What clients send wrong is their business. */
static void ignore_message(void *argument, const char *format, va_list args)
{
	(void)argument;
	(void)format;
	(void)args;
}

static struct MHD_Daemon *start_daemon(struct http *http, int listen_fd)
{
	return http->mhd->start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL,
				       NULL, on_request, http, MHD_OPTION_EXTERNAL_LOGGER, ignore_message,
				       NULL, MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_CONNECTION_LIMIT,
				       (unsigned)HTTP_CONNECTIONS_MAX * 2, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				       CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1,
				       MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_NOTIFY_CONNECTION,
				       on_connection, http, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
				       MHD_OPTION_URI_LOG_CALLBACK, on_uri, http, MHD_OPTION_END);
}

static bool add_daemon_fd(const struct http *http)
{
	const union MHD_DaemonInfo *info = http->mhd->get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct epoll_event readable = {.events = EPOLLIN, .data.ptr = NULL};
	return info && epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, info->epoll_fd, &readable) == 0;
}

struct http *http_open(const struct http_config *config, int listen_fd)
{
	const char *error = "no memory";
	if (!config->is_on || listen_fd < 0)
		return NULL;
	struct http *http = calloc(1, sizeof *http);
	if (http) {
		http->config = *config;
		http->mhd = http_library_load(&error);
		http->epoll_fd = http->mhd ? epoll_create1(EPOLL_CLOEXEC) : -1;
	}
	if (http && http->epoll_fd >= 0) {
		error = "the server does not start";
		http->daemon = start_daemon(http, listen_fd);
		if (http->daemon && add_daemon_fd(http))
			return http;
	}
	log_error("CPROF_HTTP: nothing is served: %s", error);
	http_close(http);
	return NULL;
}

void http_close(struct http *http)
{
	if (!http)
		return;
	/* libmicrohttpd wants nobody asleep. */
	for (struct peer *peer = http->peers; peer; peer = peer->next)
		if (peer->state == PEER_WAITING || peer->state == PEER_WATCHING)
			wake(http, peer, NULL);
	if (http->daemon)
		http->mhd->stop_daemon(http->daemon);
	if (http->epoll_fd >= 0)
		close(http->epoll_fd);
	free(http);
}
