/* SPDX-License-Identifier: MIT */
/*
 * libcurl's sockets are in an epoll descriptor of ours.  One transfer at a time keeps the
 * order, and one connection.
 *
 * What a server answers: 2xx, it has the profile.  4xx, the profile is wrong: tried again
 * a few times, since Pyroscope says so too when it is busy, then dropped.  Anything else,
 * and what may be mended on the server's side (a missing password, a path, too many
 * requests): tried again for ever, more and more rarely.
 *
 * Context: collector, main thread; see push.h.
 */
#include "push.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "cprof_version.h"
#include "log.h"
#include "profile_kind.h"
#include "push_library.h"

#define EVENTS_AT_ONCE 4
#define CONNECT_S 10L
#define TRANSFER_S 120L
#define REDIRECTS_MAX 5L
#define ANSWER_BYTES_MAX ((size_t)1 << 20)
#define ANSWER_SHOWN_BYTES 160

struct push {
	struct push_config config;
	struct push_queue queue;
	const struct push_library *curl;
	CURLM *multi;
	CURL *easy;
	struct curl_slist *headers; /* of the transfer */
	int epoll_fd;
	int64_t now_ms;
	int64_t timer_ms;   /* libcurl wants to be called then; -1: no need */
	int64_t retry_ms;   /* not before */
	int64_t give_up_ms; /* 0: nobody waits */
	unsigned failures;  /* in a row */
	bool is_full_reported;
	bool is_refusal_reported;
	char error[CURL_ERROR_SIZE];
	char answer[ANSWER_SHOWN_BYTES]; /* its begin, to say what the server said */
	size_t answer_bytes;
};

/* ---- what libcurl calls ---------------------------------------------------------------------- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *push_pointer, void *socket_pointer)
{
	const struct push *push = push_pointer;
	struct epoll_event event = {.data.fd = fd};
	(void)easy;
	(void)socket_pointer;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(push->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) |
		       (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
	if (epoll_ctl(push->epoll_fd, EPOLL_CTL_MOD, fd, &event))
		epoll_ctl(push->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *push_pointer)
{
	struct push *push = push_pointer;
	(void)multi;
	push->timer_ms = timeout_ms < 0 ? -1 : push->now_ms + timeout_ms;
	return 0;
}

/* The begin of an answer is kept, made harmless; one without end is cut off. */
static size_t on_answer(char *bytes, size_t size, size_t count, void *push_pointer)
{
	struct push *push = push_pointer;
	push->answer_bytes += size * count;
	size_t kept = strlen(push->answer);
	for (size_t i = 0; i < size * count && kept < ANSWER_SHOWN_BYTES - 1; i++)
		push->answer[kept++] = (char)(bytes[i] >= ' ' && bytes[i] < 0x7f ? bytes[i] : ' ');
	push->answer[kept] = '\0';
	return push->answer_bytes <= ANSWER_BYTES_MAX ? size * count : 0;
}

/* ---- one transfer ---------------------------------------------------------------------------- */

/* What is the same for all. */
static bool prepare(struct push *push)
{
	const struct push_library *curl = push->curl;
	curl->multi_setopt(push->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl->multi_setopt(push->multi, CURLMOPT_SOCKETDATA, push);
	curl->multi_setopt(push->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl->multi_setopt(push->multi, CURLMOPT_TIMERDATA, push);
	curl->easy_setopt(push->easy, CURLOPT_NOSIGNAL, 1L);
	curl->easy_setopt(push->easy, CURLOPT_QUICK_EXIT, 1L);
	curl->easy_setopt(push->easy, CURLOPT_USERAGENT, "cprof/" CPROF_VERSION);
	curl->easy_setopt(push->easy, CURLOPT_ERRORBUFFER, push->error);
	curl->easy_setopt(push->easy, CURLOPT_WRITEFUNCTION, on_answer);
	curl->easy_setopt(push->easy, CURLOPT_WRITEDATA, push);
	curl->easy_setopt(push->easy, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	curl->easy_setopt(push->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl->easy_setopt(push->easy, CURLOPT_LOW_SPEED_TIME, (long)PUSH_SILENCE_S);
	curl->easy_setopt(push->easy, CURLOPT_TIMEOUT, TRANSFER_S);
	/* A redirect, say to https, gets the POST too; an older libcurl might leave HTTP for it. */
	if (curl->easy_setopt(push->easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") == CURLE_OK) {
		curl->easy_setopt(push->easy, CURLOPT_FOLLOWLOCATION, 1L);
		curl->easy_setopt(push->easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
		curl->easy_setopt(push->easy, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL);
	}
	return curl->easy_setopt(push->easy, CURLOPT_POST, 1L) == CURLE_OK;
}

static void forget_headers(struct push *push)
{
	push->curl->slist_free_all(push->headers);
	push->headers = NULL;
}

static bool set_headers(struct push *push, const struct push_request *request)
{
	const struct push_library *curl = push->curl;
	/* Without "Expect: 100-continue": it costs a round trip, and some servers a second. */
	struct curl_slist *headers = curl->slist_append(NULL, "Expect:");
	struct curl_slist *both = headers ? curl->slist_append(headers, request->content_type) : NULL;
	if (!both) {
		curl->slist_free_all(headers);
		return false;
	}
	push->headers = both;
	curl->easy_setopt(push->easy, CURLOPT_HTTPHEADER, both);
	return true;
}

/* Half as long to one and a half times as long: servers that come back are not stormed. */
static int64_t with_jitter(int64_t ms)
{
	uint32_t random = 0;
	if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
		return ms;
	return ms / 2 + (int64_t)random % ms;
}

static void rest(struct push *push, int64_t retry_after_s)
{
	unsigned doublings = push->failures < 6 ? push->failures : 6;
	int64_t ms = PUSH_REST_MIN_MS << doublings >> 1;
	if (ms > PUSH_REST_MAX_MS)
		ms = PUSH_REST_MAX_MS;
	ms = with_jitter(ms);
	if (push->give_up_ms && ms > PUSH_REST_FAREWELL_MS)
		ms = PUSH_REST_FAREWELL_MS;
	if (retry_after_s > PUSH_RETRY_AFTER_MAX_S)
		retry_after_s = PUSH_RETRY_AFTER_MAX_S;
	push->retry_ms = push->now_ms + (retry_after_s * 1000 > ms ? retry_after_s * 1000 : ms);
}

static void start(struct push *push)
{
	const struct push_library *curl = push->curl;
	const struct push_request *request = &push->queue.first->request;
	push->error[0] = push->answer[0] = '\0';
	push->answer_bytes = 0;
	curl->easy_setopt(push->easy, CURLOPT_URL, request->url);
	curl->easy_setopt(push->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
	curl->easy_setopt(push->easy, CURLOPT_POSTFIELDS, request->body);
	push->queue.is_first_busy = set_headers(push, request) &&
				    curl->multi_add_handle(push->multi, push->easy) == CURLM_OK;
	if (push->queue.is_first_busy)
		return;
	forget_headers(push);
	rest(push, 0); /* no memory */
}

static bool is_refusal(long status)
{
	return status >= 400 && status < 500 && status != 401 && status != 403 && status != 404 &&
	       status != 407 && status != 408 && status != 425 && status != 429;
}

static void end_transfer(struct push *push)
{
	push->curl->multi_remove_handle(push->multi, push->easy);
	forget_headers(push);
}

/* Before what is being sent is freed. */
static void stop(struct push *push)
{
	if (push->queue.is_first_busy)
		end_transfer(push);
	push->queue.is_first_busy = false;
}

static void succeed(struct push *push)
{
	if (push->failures)
		log_info("profiles are sent to %s again", push->config.shown);
	push->failures = 0;
	push->is_full_reported = push->is_refusal_reported = false;
	push->retry_ms = 0;
	push_queue_sent(&push->queue);
}

static void fail(struct push *push, CURLcode code, long status, int64_t retry_after_s)
{
	char why[CURL_ERROR_SIZE + ANSWER_SHOWN_BYTES];
	struct push_job *job = push->queue.first;
	push->queue.counts.failures++;
	push->queue.is_first_busy = false;
	if (code == CURLE_OK)
		snprintf(why, sizeof why, "HTTP status %ld%s%s", status, push->answer[0] ? ": " : "",
			 push->answer);
	else
		snprintf(why, sizeof why, "%s",
			 push->error[0] ? push->error : push->curl->easy_strerror(code));
	bool is_refused = code == CURLE_OK && is_refusal(status);
	if (is_refused && ++job->refusals >= PUSH_REFUSALS_MAX) {
		if (!push->is_refusal_reported)
			log_warn("%s does not take the %s: %s", push->config.shown, job->what, why);
		push->is_refusal_reported = true;
		push_queue_drop(&push->queue, PUSH_DROP_REFUSED);
		push->retry_ms = 0;
		return;
	}
	if (push->failures++ == 0 && !is_refused)
		log_warn("cannot send profiles to %s: %s; trying again", push->config.shown, why);
	rest(push, retry_after_s);
}

static void finish(struct push *push, CURLcode code)
{
	const struct push_library *curl = push->curl;
	long status = 0;
	curl_off_t retry_after_s = 0;
	curl->easy_getinfo(push->easy, CURLINFO_RESPONSE_CODE, &status);
	if (curl->easy_getinfo(push->easy, CURLINFO_RETRY_AFTER, &retry_after_s))
		retry_after_s = 0;
	end_transfer(push);
	if (code == CURLE_OK && status >= 200 && status < 300)
		succeed(push);
	else
		fail(push, code, status, retry_after_s);
}

/* ---- public ---------------------------------------------------------------------------------- */

void push_add(struct push *push, const struct push_profile *profile, uint32_t pid)
{
	struct push_request request;
	char what[sizeof push->queue.first->what];
	if (!push || !push_request_is_for(profile->kind))
		return;
	if (push_request_make(&push->config, profile, &request)) {
		push->queue.counts.dropped[PUSH_DROP_FULL]++;
		return;
	}
	snprintf(what, sizeof what, "%s profile of %.100s (%u)", profile_kinds[profile->kind].name,
		 profile->name, pid);
	if (push_queue_add(&push->queue, &request, what) || push->is_full_reported)
		return;
	push->is_full_reported = true;
	log_warn("too much waits for %s: the oldest profiles are not sent", push->config.shown);
}

int push_fd(const struct push *push)
{
	return push ? push->epoll_fd : -1;
}

int push_patience_ms(const struct push *push, int64_t now_ms, int limit_ms)
{
	if (!push || !push->queue.first)
		return limit_ms;
	int64_t due_ms = push->queue.is_first_busy ? push->timer_ms : push->retry_ms;
	if (due_ms < 0 || due_ms - now_ms >= limit_ms)
		return limit_ms;
	return due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
}

static void move_bytes(struct push *push)
{
	const struct push_library *curl = push->curl;
	struct epoll_event events[EVENTS_AT_ONCE];
	int running;
	int left;
	int count = epoll_wait(push->epoll_fd, events, EVENTS_AT_ONCE, 0);
	for (int i = 0; i < count; i++)
		curl->multi_socket_action(
			push->multi, events[i].data.fd,
			(events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
				(events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
				(events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0),
			&running);
	if (push->timer_ms >= 0 && push->now_ms >= push->timer_ms) {
		push->timer_ms = -1;
		curl->multi_socket_action(push->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	for (const CURLMsg *message; (message = curl->multi_info_read(push->multi, &left));)
		if (message->msg == CURLMSG_DONE)
			finish(push, message->data.result);
}

void push_run(struct push *push, int64_t now_ms)
{
	if (!push)
		return;
	push->now_ms = now_ms;
	move_bytes(push);
	if (push->queue.first && !push->queue.is_first_busy && now_ms >= push->retry_ms)
		start(push);
}

bool push_is_idle(const struct push *push)
{
	return !push || !push->queue.first;
}

bool push_is_done(struct push *push, int64_t now_ms)
{
	if (push_is_idle(push))
		return true;
	if (push->give_up_ms == 0) {
		push->give_up_ms = now_ms + push->config.patience_ms;
		if (push->retry_ms > now_ms + PUSH_REST_FAREWELL_MS)
			push->retry_ms = now_ms + PUSH_REST_FAREWELL_MS;
	}
	return now_ms >= push->give_up_ms;
}

void push_give_up(struct push *push)
{
	if (push_is_idle(push))
		return;
	log_warn("%llu profiles could not be sent to %s", (unsigned long long)push->queue.counts.queued,
		 push->config.shown);
	stop(push);
	push_queue_drop_all(&push->queue, PUSH_DROP_EXIT);
}

void push_count(const struct push *push, struct push_counts *out_counts)
{
	*out_counts = push ? push->queue.counts : (struct push_counts){0};
}

struct push *push_open(const struct push_config *config)
{
	const char *error = "no memory";
	struct push *push = config->is_on ? calloc(1, sizeof *push) : NULL;
	if (!config->is_on)
		return NULL;
	if (push) {
		push->config = *config;
		push->timer_ms = -1;
		push->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		push->curl = push_library_load(&error);
		push->multi = push->curl ? push->curl->multi_init() : NULL;
		push->easy = push->curl ? push->curl->easy_init() : NULL;
	}
	if (push && push->epoll_fd >= 0 && push->multi && push->easy && prepare(push))
		return push;
	log_error("CPROF_PUSH: nothing is sent: %s", error);
	push_close(push);
	return NULL;
}

void push_close(struct push *push)
{
	if (!push)
		return;
	const struct push_library *curl = push->curl;
	if (curl) {
		stop(push);
		curl->easy_cleanup(push->easy); /* NULL will do for both */
		curl->multi_cleanup(push->multi);
	}
	if (push->epoll_fd >= 0)
		close(push->epoll_fd);
	push_queue_drop_all(&push->queue, PUSH_DROP_EXIT);
	free(push);
}
