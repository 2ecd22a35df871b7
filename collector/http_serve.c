/* SPDX-License-Identifier: MIT */
/*
 * Whatever is asked for is made from the totals in the segment: a program that is
 * stopped or deadlocked is asked nothing.
 *
 * Context: collector, main thread; see http_serve.h.
 */
#include "http_serve.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http_index.h"
#include "http_threads.h"
#include "http_trace.h"
#include "metrics.h"
#include "pprof.h"
#include "profile_text.h"

/* A command line that is longer is cut, as `ps` does. */
#define CMDLINE_BYTES_MAX ((size_t)128 << 10)

/* ---- whom ------------------------------------------------------------------------------------ */

static bool is_asked_for(const struct client *client, const struct http_request *request)
{
	if (request->pid)
		return client->handle.pid == request->pid || client->handle.peer_pid == (int32_t)request->pid;
	return strcmp(client->writer.name, request->process) == 0;
}

struct client *http_serve_target(const struct http_turn *turn, const struct http_request *request,
				 struct http_reply *out_reply)
{
	struct client *target = NULL;
	unsigned live = 0;
	bool is_choice = request->pid || request->process[0];
	for (struct client *client = turn->clients; client; client = client->next) {
		if (client->end_monotonic_ns)
			continue;
		live++;
		if (is_choice ? is_asked_for(client, request) : !target || !target->handle.is_first)
			target = client; /* the first process, else the oldest */
	}
	if (!target && request->pid)
		http_reply_pprof_error(out_reply, 404, "no process %u is profiled here", request->pid);
	else if (!target && is_choice)
		http_reply_pprof_error(out_reply, 404, "no process of this name is profiled here");
	else if (!target)
		http_reply_pprof_error(out_reply, 503, "the program has ended");
	else if (live > 1)
		snprintf(out_reply->process, sizeof out_reply->process, "%u", target->writer.pid);
	return target;
}

/* ---- profiles -------------------------------------------------------------------------------- */

/* Bytes or text of a described profile. */
static void reply_profile(const struct http_turn *turn, const struct http_request *request,
			  struct profile *profile, struct http_reply *out_reply)
{
	struct text_buffer text = {0};
	unsigned char *bytes = NULL;
	size_t size = 0;
	/* The same profile twice: under this name Go shows what was allocated, not what is in use. */
	if (strcmp(request->name, "allocs") == 0)
		profile->default_type = "alloc_space";
	if (request->is_text) {
		profile_text_write(profile, request->name, turn->tick, turn->tick_arg, &text);
		http_reply_text(out_reply, HTTP_TEXT, &text);
		return;
	}
	if (pprof_encode(profile, turn->tick, turn->tick_arg, &bytes, &size))
		bytes = NULL;
	http_reply_body(out_reply, HTTP_BYTES, bytes, size);
	if (out_reply->status == 200)
		snprintf(out_reply->file_name, sizeof out_reply->file_name, "%s%s", request->name,
			 request->span_ms && request->kind != PROFILE_CPU ? "-delta" : "");
}

static void fail_to_collect(struct http_reply *reply)
{
	http_reply_pprof_error(reply, 500, "failed to collect profile");
}

/* ---- threads --------------------------------------------------------------------------------- */

static void serve_threads(const struct http_turn *turn, const struct http_request *request,
			  struct client *client, struct http_reply *out_reply)
{
	struct text_buffer text = {0};
	struct thread_dump dump;
	if (client_dump_threads(client, turn->tick, turn->tick_arg, &dump)) {
		fail_to_collect(out_reply);
		return;
	}
	if (request->is_dump) {
		text_buffer_add(&text, dump.text, dump.text_bytes);
		http_reply_text(out_reply, HTTP_TEXT, &text);
	} else {
		struct profile profile = thread_dump_profile(&dump);
		reply_profile(turn, request, &profile, out_reply);
	}
	thread_dump_free(&dump);
}

static void end_threads(const struct http_turn *turn, const struct http_request *request,
			struct client *client, const struct http_watch *watch, struct http_reply *out_reply)
{
	struct http_threads_difference difference;
	struct thread_dump now;
	if (client_dump_threads(client, turn->tick, turn->tick_arg, &now)) {
		fail_to_collect(out_reply);
		return;
	}
	if (http_threads_subtract(&watch->threads, &now, &difference)) {
		fail_to_collect(out_reply);
	} else {
		reply_profile(turn, request, &difference.profile, out_reply);
		http_threads_difference_fini(&difference);
	}
	thread_dump_free(&now);
}

/* ---- what is in the segment ------------------------------------------------------------------ */

static void serve_counted(const struct http_turn *turn, const struct http_request *request,
			  struct client *client, struct http_reply *out_reply)
{
	struct writer_moment moment = client_moment(client, turn->tick, turn->tick_arg);
	struct writer_profile described;
	struct aggregate aggregate;
	if (writer_take(&client->writer, &moment, &aggregate)) {
		fail_to_collect(out_reply);
		return;
	}
	writer_describe(&client->writer, &aggregate, request->kind, &moment, &described);
	reply_profile(turn, request, &described.profile, out_reply);
	writer_profile_fini(&described);
	aggregate_free(&aggregate);
}

static int begin_counted(const struct http_turn *turn, const struct http_request *request,
			 struct client *client, struct window *out_window)
{
	struct writer_moment moment = client_moment(client, turn->tick, turn->tick_arg);
	struct aggregate aggregate;
	int error = writer_take(&client->writer, &moment, &aggregate);
	if (error)
		return error;
	error = window_open(&client->writer, &moment, &aggregate, 1u << request->kind, out_window);
	aggregate_free(&aggregate);
	return error;
}

static void end_counted(const struct http_turn *turn, const struct http_request *request,
			struct client *client, const struct window *window, struct http_reply *out_reply)
{
	struct writer_moment moment = client_moment(client, turn->tick, turn->tick_arg);
	struct writer_profile described;
	struct aggregate since;
	if (writer_take(&client->writer, &moment, &since)) {
		fail_to_collect(out_reply);
		return;
	}
	window_subtract(window, request->kind, &since);
	window_describe(window, &client->writer, &since, request->kind, &moment, &described);
	reply_profile(turn, request, &described.profile, out_reply);
	writer_profile_fini(&described);
	aggregate_free(&since);
}

/* ---- spans of time --------------------------------------------------------------------------- */

/* Half a minute would go by for nothing. */
static bool has_cpu_samples(const struct client *client, struct http_reply *out_reply)
{
	const struct cprof_control *control = segment_reader_control(&client->reader);
	if (load_relaxed(&control->cpu_hz)) /* a setting orders nothing */
		return true;
	http_reply_pprof_error(out_reply, 500, "Could not enable CPU profiling: %s",
			       control->cpu_hz_at_start ? "it is switched off (cprof set PID cpu_hz=100)"
							: "the program was started with CPROF_CPU_HZ=0");
	return false;
}

bool http_serve_begin(const struct http_turn *turn, const struct http_request *request,
		      struct http_watch *out_watch, struct http_reply *out_reply)
{
	struct client *client = http_serve_target(turn, request, out_reply);
	if (!client)
		return false;
	*out_watch = (struct http_watch){.client_id = client->handle.id};
	memcpy(out_watch->process, out_reply->process, sizeof out_watch->process);
	if (request->endpoint == HTTP_ENDPOINT_TRACE)
		return http_trace_begin(client, &out_watch->trace, out_reply);
	if (request->kind == PROFILE_CPU && !has_cpu_samples(client, out_reply))
		return false;
	int error = request->kind == PROFILE_THREADS
			    ? client_dump_threads(client, turn->tick, turn->tick_arg, &out_watch->threads)
			    : begin_counted(turn, request, client, &out_watch->window);
	if (error)
		fail_to_collect(out_reply);
	return !error;
}

void http_serve_end(const struct http_turn *turn, const struct http_request *request, struct client *client,
		    const struct http_watch *watch, struct http_reply *out_reply)
{
	if (!client)
		http_reply_pprof_error(out_reply, 500, "the program has ended");
	else if (request->endpoint == HTTP_ENDPOINT_TRACE)
		http_trace_end(client, request, turn->tick, turn->tick_arg, out_reply);
	else if (request->kind == PROFILE_THREADS)
		end_threads(turn, request, client, watch, out_reply);
	else
		end_counted(turn, request, client, &watch->window, out_reply);
	memcpy(out_reply->process, watch->process, sizeof out_reply->process);
}

void http_watch_fini(struct http_watch *watch)
{
	window_close(&watch->window);
	thread_dump_free(&watch->threads);
	trace_watch_leave(watch->trace);
	*watch = (struct http_watch){0};
}

/* ---- the other endpoints ----------------------------------------------------------------------- */

static void serve_cmdline(const struct http_turn *turn, const struct client *client,
			  struct http_reply *out_reply)
{
	char path[64];
	struct text_buffer text = {0};
	char piece[4096];
	ssize_t n;
	if (!turn->config->shows_cmdline) {
		http_reply_pprof_error(out_reply, 403,
				       "the command line may hold secrets; CPROF_HTTP_CMDLINE=1 shows it");
		return;
	}
	snprintf(path, sizeof path, "/proc/%d/cmdline", client->handle.peer_pid);
	int fd = client->handle.peer_pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	/* What is open stays that of one process: its own, if it is not gone yet. */
	bool is_its_own = fd >= 0 && !client_is_gone(client);
	while (is_its_own && text.size < CMDLINE_BYTES_MAX && (n = read(fd, piece, sizeof piece)) > 0)
		text_buffer_add(&text, piece, (size_t)n);
	if (fd >= 0)
		close(fd);
	/* The kernel ends each argument with a NUL; Go puts it between them. */
	if (text.size && text.bytes[text.size - 1] == '\0')
		text.size--;
	http_reply_text(out_reply, HTTP_TEXT, &text);
}

/* Addresses joined by '+', from the query or the body. */
static void serve_symbol(const struct http_request *request, const struct client *client, const char *body,
			 struct http_reply *out_reply)
{
	const struct profile profile = {.modules = client->rows.modules, .module_count = client->rows.count};
	const char *words = request->is_post ? body : request->query;
	struct text_buffer text = {0};
	text_buffer_string(&text, "num_symbols: 1\n");
	while (*words && !text.is_failed) {
		size_t length = strcspn(words, "+");
		uint64_t address = http_request_read_address(words, length);
		const char *name = address ? profile_text_name_at(&profile, address) : NULL;
		if (name)
			text_buffer_format(&text, "%#llx %s\n", (unsigned long long)address, name);
		words += length + (words[length] == '+');
	}
	http_reply_text(out_reply, HTTP_TEXT, &text);
}

static void serve_metrics(const struct http_turn *turn, const struct http_request *request,
			  struct client *client, struct http_reply *out_reply)
{
	struct text_buffer text = {0};
	struct metrics_tree tree = {.watch_count = turn->watch_count, .push = turn->push};
	for (const struct client *c = turn->clients; c; c = c->next)
		tree.process_count += c->end_monotonic_ns == 0;
	if (request->is_of_all)
		metrics_write_all(turn->clients, &tree, turn->tick, turn->tick_arg, &text);
	else
		metrics_write(client, &tree, turn->tick, turn->tick_arg, &text);
	http_reply_text(out_reply, METRICS_CONTENT_TYPE, &text);
	out_reply->is_nosniff = false;
}

/* Keeps what http_serve_target() said. */
static void keep_process(struct http_reply *reply, const struct http_reply *target)
{
	memcpy(reply->process, target->process, sizeof reply->process);
}

void http_serve(const struct http_turn *turn, const struct http_request *request, const char *body,
		struct http_reply *out_reply)
{
	struct http_reply target = {0};
	struct text_buffer text = {0};
	if (request->endpoint == HTTP_ENDPOINT_HEALTH) {
		text_buffer_string(&text, "ok\n");
		http_reply_text(out_reply, HTTP_TEXT, &text);
		return;
	}
	struct client *client = http_serve_target(turn, request, &target);
	if (!client) {
		*out_reply = target;
		return;
	}
	switch (request->endpoint) {
	case HTTP_ENDPOINT_INDEX:
		http_index_write(turn->config, turn->clients, client, &text);
		http_reply_text(out_reply, HTTP_HTML, &text);
		out_reply->is_page = true;
		break;
	case HTTP_ENDPOINT_PROFILE:
		if (request->kind == PROFILE_THREADS)
			serve_threads(turn, request, client, out_reply);
		else
			serve_counted(turn, request, client, out_reply);
		break;
	case HTTP_ENDPOINT_FLIGHT:
		http_trace_serve_flight(client, request, turn->tick, turn->tick_arg, out_reply);
		break;
	case HTTP_ENDPOINT_CMDLINE:
		serve_cmdline(turn, client, out_reply);
		break;
	case HTTP_ENDPOINT_SYMBOL:
		serve_symbol(request, client, body, out_reply);
		break;
	case HTTP_ENDPOINT_METRICS:
		serve_metrics(turn, request, client, out_reply);
		break;
	case HTTP_ENDPOINT_TRACE: /* needs time to pass */
	case HTTP_ENDPOINT_HEALTH:
		break;
	}
	keep_process(out_reply, &target);
}
