/* SPDX-License-Identifier: MIT */
/*
 * Everything prompt hangs on a descriptor: registrations on the socket, ends on the
 * pidfds, the first process's requests on the bell.  The tick does the rest: it drains
 * the rings, as often as they fill.
 *
 * Writing files may take seconds.  The encoder calls tick_while_busy() meanwhile,
 * which does what cannot wait: registrations (a process may end before we come to
 * it), rings, heartbeats, and commands that take no time; it never touches images,
 * which the encoder is using.
 *
 * Context: collector, main thread.
 */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "arrivals.h"
#include "bell.h"
#include "client.h"
#include "clock.h"
#include "command_serve.h"
#include "http.h"
#include "image.h"
#include "log.h"
#include "tick_rate.h"

/* How often rings are drained. */
#define TICK_MIN_MS 10
#define TICK_BUSY_MS 100
#define TICK_IDLE_MS 250

/* A ring this full within one tick is likely to overflow within the next. */
#define RING_FILLS_FAST (CPROF_RING_RECORDS / 4)

/* Likewise for chunks of a trace that is streamed, in thousandths. */
#define TRACE_FILLS_FAST 125

/* The library connects right after it has started us; later it never will. */
#define FIRST_PEER_PATIENCE_MS 10000

/* How long the last answers over HTTP may take to be fetched. */
#define HTTP_FAREWELL_MS 2000

struct loop {
	const struct loop_config *config;
	int link_fd;
	struct arrivals arrivals;
	struct commands commands;
	struct http *http;         /* NULL: not asked for */
	struct interval *interval; /* likewise */
	struct push *push;         /* likewise */
	struct bell bell;
	struct tick_rate tick_rate;
	struct writer_dir dir;
	struct client *clients; /* newest first */
	int64_t started_ms;
	int64_t farewell_ms; /* when nobody is waited for any more, once all processes have ended */
	int tick_ms;
	int64_t last_tick_ms;
	struct pollfd *poll_fds;
	size_t poll_capacity;
};

/* ---- ticks --------------------------------------------------------------------------------- */

/* Tells all who are traced; it is measured only where there is one. */
static void tell_tick_rate(struct loop *loop)
{
	uint64_t rate = 0;
	bool is_asked = false;
	for (struct client *client = loop->clients; client; client = client->next) {
		if (!client_is_traced(client))
			continue;
		if (!is_asked)
			rate = tick_rate_now(&loop->tick_rate);
		is_asked = true;
		client_tell_tick_rate(client, rate);
	}
}

/* Drains everybody and sets the pace. */
static void drain_all(struct loop *loop)
{
	uint32_t fullest = 0;
	unsigned trace_fullest = 0;
	for (struct client *client = loop->clients; client; client = client->next) {
		struct ring_drained drained;
		client_drain(client, &drained);
		if (drained.fullest > fullest)
			fullest = drained.fullest;
		unsigned unread = client_read_trace(client);
		if (unread > trace_fullest)
			trace_fullest = unread;
	}
	tell_tick_rate(loop);
	if (fullest > RING_FILLS_FAST || trace_fullest > TRACE_FILLS_FAST)
		loop->tick_ms = loop->tick_ms / 2 > TICK_MIN_MS ? loop->tick_ms / 2 : TICK_MIN_MS;
	else if (fullest > 0 || trace_fullest > 0)
		loop->tick_ms = loop->tick_ms * 2 < TICK_BUSY_MS ? loop->tick_ms * 2 : TICK_BUSY_MS;
	else
		loop->tick_ms = loop->tick_ms * 2 < TICK_IDLE_MS ? loop->tick_ms * 2 : TICK_IDLE_MS;
	loop->last_tick_ms = clock_monotonic_ms();
}

/* Serves commands that take no time, and sends answers as they are taken. */
static void serve_quick_commands(struct loop *loop)
{
	struct command_peer *peer;
	while ((peer = commands_next(&loop->commands, COMMAND_IS_QUICK)))
		command_serve(peer, loop->clients, NULL, NULL);
	while ((peer = commands_next(&loop->commands, COMMAND_IS_NEW)))
		command_check(peer, loop->clients);
	commands_send(&loop->commands, clock_monotonic_ms());
}

static void tick_while_busy(void *argument)
{
	struct loop *loop = argument;
	if (clock_monotonic_ms() - loop->last_tick_ms < loop->tick_ms)
		return;
	arrivals_take(&loop->arrivals);
	drain_all(loop);
	serve_quick_commands(loop);
}

/* ---- clients ------------------------------------------------------------------------------- */

static void take_out(struct loop *loop, struct client *client)
{
	struct client **link = &loop->clients;
	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	if (loop->bell.control == segment_reader_control(&client->reader))
		bell_unlisten(&loop->bell);
	supervisor_tell_finished(loop->link_fd, client->handle.id);
	client_close(client);
}

static void retire(struct loop *loop, struct client *client)
{
	client_finish(client, tick_while_busy, loop);
	http_end_client(loop->http, client, tick_while_busy, loop);
	interval_end_part(loop->interval, client, tick_while_busy, loop);
	interval_forget_client(loop->interval, client);
	/* Only now: until it is finished the rings are drained and a restart would find it. */
	take_out(loop, client);
}

static struct client *same_process(struct loop *loop, const struct client_handle *handle)
{
	for (struct client *client = loop->clients; client; client = client->next)
		if (handle->peer_pid > 0 && client->handle.peer_pid == handle->peer_pid &&
		    client->end_monotonic_ns == 0)
			return client;
	return NULL;
}

/*
 * Whether a process that has just registered is gone already and left nothing to be shown.  One whose
 * former image is here ends that by what it did, and is opened.
 */
static bool is_nothing(void *argument, const struct client_handle *handle)
{
	struct loop *loop = argument;
	struct pollfd gone = {.fd = handle->pidfd, .events = POLLIN};
	if (handle->is_first || handle->is_again || !loop->arrivals.has_started || loop->interval ||
	    handle->pidfd < 0 || same_process(loop, handle) || arrivals_have(&loop->arrivals, handle) ||
	    poll(&gone, 1, 0) != 1 || !segment_reader_finds_nothing(handle->segment_fd))
		return false;
	arrivals_rest(&loop->arrivals);
	return true;
}

static void open_out_dir(struct loop *loop, const struct client *first)
{
	const struct cprof_control *control = segment_reader_control(&first->reader);
	char path[CPROF_PATH_BYTES];
	/* As we were told at our start, if we were: the program may write over its segment. */
	const char *told = loop->config->out_dir;
	if (told && strlen(told) < sizeof path)
		memcpy(path, told, strlen(told) + 1);
	else
		memcpy(path, control->out_dir, sizeof path);
	path[sizeof path - 1] = '\0';
	writer_dir_open(&loop->dir, path);
	supervisor_tell_out_dir(loop->link_fd, loop->dir.path);
}

/* Whether nothing can be sent once the process has ended: it takes its container with it. */
static bool dies_with_us(const struct client *client)
{
	return client->handle.is_first && client->handle.pid == 1;
}

static void open_client(struct loop *loop, const struct client_handle *handle, bool is_inherited)
{
	struct client *earlier = same_process(loop, handle);
	struct client *client = client_open(handle, &loop->dir);
	if (!client) {
		supervisor_tell_finished(loop->link_fd, handle->id);
		return;
	}
	/* It took us for dead: the same segment, or one that all of the earlier one was copied to. */
	if (earlier && handle->is_again) {
		http_end_client(loop->http, earlier, tick_while_busy, loop);
		interval_continue(loop->interval, earlier, client);
		take_out(loop, earlier);
		earlier = NULL;
	}
	if (loop->dir.path[0] == '\0')
		open_out_dir(loop, client);
	client->is_inherited = is_inherited || handle->is_again;
	client->next = loop->clients;
	loop->clients = client;
	if (handle->is_first)
		bell_listen(&loop->bell, segment_reader_control(&client->reader));
	client_update_modules(client);
	client->holds_final = loop->push && dies_with_us(client);
	if (earlier)
		client_end_by_exec(earlier, client);
}

static void open_arrived(struct loop *loop)
{
	struct client_handle handle;
	while (arrivals_next(&loop->arrivals, &handle))
		open_client(loop, &handle, false);
}

static void notice_deaths(struct loop *loop)
{
	for (struct client *client = loop->clients; client; client = client->next) {
		if (client->end_monotonic_ns || !client_is_gone(client))
			continue;
		/* All that it had to say is at the door by now: it may have become another image. */
		arrivals_take(&loop->arrivals);
		open_arrived(loop);
		if (client->end_monotonic_ns)
			continue;
		client_end_by_death(client);
		if (!client->handle.is_first) {
			arrivals_rest(&loop->arrivals);
			continue;
		}
		/* Who reads the first process's output must not wait for us. */
		log_close();
		supervisor_tell_first_ended(loop->link_fd);
		loop->arrivals.first_peer_pid = 0;
	}
}

static void answer(struct loop *loop, struct client *client)
{
	client_answer(client, tick_while_busy, loop);
	if (client->held_final)
		interval_end_part(loop->interval, client, tick_while_busy, loop);
}

/* Lets those go who waited for what is sent at their end. */
static void release_held(struct loop *loop)
{
	for (struct client *client = loop->clients; client; client = client->next)
		if (client->held_final && push_is_done(loop->push, clock_monotonic_ms()))
			client_release_final(client);
}

/*
 * Does one thing that may take long.  Requests come before commands, these before the
 * last files of the dead, and those before files at intervals and what is asked over HTTP;
 * the first process's requests before the others': it may be waiting.  False: nothing to do.
 */
static bool do_one_job(struct loop *loop)
{
	struct client *asking = NULL;
	struct client *ended = NULL;
	for (struct client *client = loop->clients; client; client = client->next) {
		if (client->end_monotonic_ns)
			ended = client; /* the one that registered first */
		else if (client_has_request(client) && (!asking || client->handle.is_first))
			asking = client;
	}
	struct command_peer *peer = asking ? NULL : commands_next(&loop->commands, COMMAND_IS_LONG);
	int64_t now = clock_monotonic_ms();
	bool is_interval_due = interval_has_job(loop->interval, loop->clients, now);
	if (!asking && !peer && !ended && !is_interval_due && !http_has_job(loop->http, now))
		return false;
	if (asking || peer || !ended || !client_is_empty(ended))
		bell_begin_work(&loop->bell);
	if (asking)
		answer(loop, asking);
	else if (peer)
		command_serve(peer, loop->clients, tick_while_busy, loop);
	else if (ended)
		retire(loop, ended);
	else if (is_interval_due)
		interval_do_job(loop->interval, loop->clients, now, tick_while_busy, loop);
	else
		http_do_job(loop->http, loop->clients, now, tick_while_busy, loop);
	bell_end_work(&loop->bell);
	return true;
}

/* ---- waiting ------------------------------------------------------------------------------- */

static void wait_for_something(struct loop *loop)
{
	size_t wanted = REGISTRATION_PENDING_MAX + COMMANDS_MAX + 4;
	for (const struct client *client = loop->clients; client; client = client->next)
		wanted++;
	if (wanted > loop->poll_capacity) {
		struct pollfd *grown = realloc(loop->poll_fds, wanted * 2 * sizeof *grown);
		if (grown) {
			loop->poll_fds = grown;
			loop->poll_capacity = wanted * 2;
		}
	}
	int64_t now = clock_monotonic_ms();
	int64_t left = loop->last_tick_ms + loop->tick_ms - now;
	if (wanted > loop->poll_capacity) {
		poll(NULL, 0, TICK_MIN_MS); /* no memory: look at everything now and then */
		return;
	}
	struct pollfd *fds = loop->poll_fds;
	size_t bell_at = registration_poll_fds(&loop->arrivals.registration, now, fds);
	bool rests = now < loop->arrivals.rest_until_ms;
	if (rests) {
		fds[0].fd = -1; /* which poll() skips */
		left = left < loop->arrivals.rest_until_ms - now ? left : loop->arrivals.rest_until_ms - now;
	}
	size_t count = bell_at;
	fds[count++] = (struct pollfd){.fd = loop->bell.event_fd, .events = POLLIN};
	for (const struct client *client = loop->clients; client; client = client->next)
		fds[count++] = (struct pollfd){.fd = rests && !client->handle.is_first ? -1
										       : client->handle.pidfd,
					       .events = POLLIN};
	count += commands_poll_fds(&loop->commands, fds + count);
	fds[count++] = (struct pollfd){.fd = http_fd(loop->http), .events = POLLIN};
	fds[count++] = (struct pollfd){.fd = push_fd(loop->push), .events = POLLIN};
	int patience_ms = push_patience_ms(loop->push, now, left > 0 ? (int)left : 0);
	int ready = poll(fds, (nfds_t)count, http_patience_ms(loop->http, now, patience_ms));
	if (ready < 0 && errno != EINTR) {
		const struct timespec rest = {.tv_nsec = TICK_MIN_MS * 1000000};
		nanosleep(&rest, NULL); /* the kernel has no memory: as above */
	}
	if (ready <= 0)
		return;
	if (fds[bell_at].revents)
		bell_hear(&loop->bell);
	/* Shut by a worker that died before its work was done: it would be ready for ever. */
	if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
		arrivals_close_door(&loop->arrivals);
}

/* Whether the last answers are taken, or time is up for those who do not take them. */
static bool is_http_done(struct loop *loop)
{
	int64_t now = clock_monotonic_ms();
	if (loop->farewell_ms == 0)
		loop->farewell_ms = now + HTTP_FAREWELL_MS;
	return !http_is_busy(loop->http) || now >= loop->farewell_ms;
}

/* Who slips in while the door closes is still served. */
static bool is_finished(struct loop *loop)
{
	if (loop->clients || !arrivals_are_over(&loop->arrivals) || !commands_are_done(&loop->commands) ||
	    (loop->arrivals.has_started &&
	     (!push_is_done(loop->push, clock_monotonic_ms()) || !is_http_done(loop))))
		return false;
	if (!loop->arrivals.has_started && clock_monotonic_ms() - loop->started_ms < FIRST_PEER_PATIENCE_MS)
		return false;
	arrivals_close_door(&loop->arrivals);
	return arrivals_are_over(&loop->arrivals) && commands_are_done(&loop->commands);
}

static void take_over(struct loop *loop, const struct inheritance *inheritance)
{
	if (inheritance->out_dir[0])
		writer_dir_open(&loop->dir, inheritance->out_dir);
	for (size_t i = 0; i < inheritance->handle_count; i++)
		open_client(loop, &inheritance->handles[i], true);
}

int loop_run(const struct inheritance *inheritance, void *argument)
{
	const struct loop_config *config = argument;
	struct loop loop = {.config = config,
			    .link_fd = inheritance->link_fd,
			    .tick_ms = TICK_BUSY_MS,
			    .started_ms = clock_monotonic_ms(),
			    .dir = {.fd = -1}};
	prctl(PR_SET_NAME, "cprof-collector");
	commands_init(&loop.commands);
	arrivals_init(&loop.arrivals, config->listen_fd, &config->session, &loop.commands, inheritance);
	loop.arrivals.registration.is_nothing = is_nothing;
	loop.arrivals.registration.is_nothing_argument = &loop;
	bell_init(&loop.bell);
	loop.push = push_open(&config->push);
	loop.interval = interval_open(&config->interval, loop.push);
	loop.http = http_open(&config->http, config->http_fd, loop.push);
	take_over(&loop, inheritance);
	for (;;) {
		arrivals_take(&loop.arrivals);
		open_arrived(&loop);
		notice_deaths(&loop);
		if (clock_monotonic_ms() - loop.last_tick_ms >= loop.tick_ms) {
			drain_all(&loop);
			for (struct client *client = loop.clients; client; client = client->next)
				client_update_modules(client);
		}
		serve_quick_commands(&loop);
		http_run(loop.http, clock_monotonic_ms());
		push_run(loop.push, clock_monotonic_ms());
		release_held(&loop);
		image_close_idle(clock_monotonic_ms());
		if (do_one_job(&loop))
			continue;
		if (is_finished(&loop))
			break;
		wait_for_something(&loop);
	}
	bell_unlisten(&loop.bell);
	commands_close(&loop.commands);
	http_close(loop.http);
	interval_close(loop.interval);
	push_give_up(loop.push);
	push_close(loop.push);
	if (config->http.is_on)
		http_config_unlisten(&config->http);
	arrivals_fini(&loop.arrivals);
	free(loop.poll_fds);
	image_close_all();
	return 0;
}
