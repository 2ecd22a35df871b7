/* SPDX-License-Identifier: MIT */
/*
 * libmicrohttpd drives its own epoll descriptor.  Ours holds that one, and the sockets of
 * sleeping connections, which libmicrohttpd does not look at: a client that hangs up
 * ends what is done for it.
 *
 * Context: collector, main thread.
 */
#include "http.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "http_peers.h"
#include "log.h"

#define CONNECTION_MEMORY ((size_t)32 << 10)
#define EVENTS_AT_ONCE 16

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
	bool is_for_all = !first->request.is_post && !first->request.span_ms;
	struct answer *shared = http_peers_make_answer(http, reply);
	for (struct peer *peer = http->peers; peer && shared && is_for_all; peer = peer->next)
		if (peer != first && peer->state == PEER_WAITING && !peer->request.is_post &&
		    strcmp(peer->uri, first->uri) == 0)
			http_peer_wake(http, peer, shared);
	http_peer_wake(http, first, shared);
	http_peers_drop_answer(http, shared);
}

static bool is_of_cpu(const struct http_request *request)
{
	return request->endpoint == HTTP_ENDPOINT_PROFILE && request->kind == PROFILE_CPU;
}

static void begin_watch(struct http *http, struct peer *peer, const struct http_turn *turn)
{
	struct http_reply reply = {0};
	struct epoll_event hang_up = {.events = EPOLLRDHUP, .data.ptr = peer};
	if (http->watch_count >= HTTP_WATCHES_MAX && is_of_cpu(&peer->request)) {
		http_reply_pprof_error(&reply, 500,
				       "Could not enable CPU profiling: cpu profiling already in use");
	} else if (http->watch_count >= HTTP_WATCHES_MAX) {
		http_reply_pprof_error(&reply, 503, "too many profiles are being taken");
	} else if (http_serve_begin(turn, &peer->request, &peer->watch, &reply)) {
		http->watch_count++;
		http_peer_set_state(http, peer, PEER_WATCHING);
		peer->due_ms = http->now_ms + peer->request.span_ms;
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
	const struct http_turn turn = {&http->config, clients, http->watch_count, http->push, tick, tick_arg};
	struct http_reply reply = {0};
	struct peer *peer = next_job(http, now_ms);
	http->now_ms = now_ms;
	if (!peer)
		return;
	if (peer->state == PEER_WATCHING) {
		end_watch(http, peer, client_by_id(clients, peer->watch.client_id), &turn);
	} else if (peer->request.span_ms) {
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
	const struct http_turn turn = {&http->config, NULL, http->watch_count, http->push, tick, tick_arg};
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
			http_peer_wake(http, events[i].data.ptr, NULL); /* nobody wants to know any more */
	for (struct peer *peer = http->peers; peer; peer = peer->next)
		if (!peer->is_shut && is_too_slow(peer, now_ms))
			http_peer_shut(peer);
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
				       NULL, http_peers_on_request, http, MHD_OPTION_EXTERNAL_LOGGER,
				       ignore_message, NULL, MHD_OPTION_LISTEN_SOCKET, listen_fd,
				       MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX * 2,
				       MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
				       MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
				       MHD_OPTION_NOTIFY_CONNECTION, http_peers_on_connection, http,
				       MHD_OPTION_NOTIFY_COMPLETED, http_peers_on_completed, http,
				       MHD_OPTION_URI_LOG_CALLBACK, http_peers_on_uri, http, MHD_OPTION_END);
}

static bool add_daemon_fd(const struct http *http)
{
	const union MHD_DaemonInfo *info = http->mhd->get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct epoll_event readable = {.events = EPOLLIN, .data.ptr = NULL};
	return info && epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, info->epoll_fd, &readable) == 0;
}

struct http *http_open(const struct http_config *config, int listen_fd, const struct push *push)
{
	const char *error = "no memory";
	if (!config->is_on || listen_fd < 0)
		return NULL;
	struct http *http = calloc(1, sizeof *http);
	if (http) {
		http->config = *config;
		http->push = push;
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
			http_peer_wake(http, peer, NULL);
	if (http->daemon)
		http->mhd->stop_daemon(http->daemon);
	if (http->epoll_fd >= 0)
		close(http->epoll_fd);
	free(http);
}
