/* SPDX-License-Identifier: MIT */
/*
 * The order of a peer's life: commands_take() judges it, commands_next() finds it,
 * whoever serves it queues its answers, commands_send() delivers them as the peer takes
 * them and closes.  Memory is the only thing that a slow peer costs, and it is bounded.
 *
 * Context: collector, main thread.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define LINE_BYTES 512

/* What the kernel shows for a uid that our user namespace has no number for. */
#define OVERFLOW_UID 65534

void commands_init(struct commands *commands)
{
	memset(commands, 0, sizeof *commands);
	for (size_t i = 0; i < COMMANDS_MAX; i++)
		commands->peers[i].fd = commands->peers[i].target_fd = -1;
}

static void let_go(struct command_peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	if (peer->target_fd >= 0)
		close(peer->target_fd);
	free(peer->bytes);
	*peer = (struct command_peer){.fd = -1, .target_fd = -1};
}

void commands_close(struct commands *commands)
{
	for (size_t i = 0; i < COMMANDS_MAX; i++)
		let_go(&commands->peers[i]);
}

/* ---- who gets in ------------------------------------------------------------------------- */

/* Whether each uid of the system has a number here, so that OVERFLOW_UID means itself. */
static bool has_all_uids(void)
{
	char text[128] = "";
	unsigned long first, outside, count;
	int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	return n > 0 && sscanf(text, "%lu %lu %lu", &first, &outside, &count) == 3 && first == 0 &&
	       outside == 0 && count >= UINT32_MAX;
}

/* Who is root or who we are could trace us: the command gives no right that it lacks. */
static bool may_command(uid_t uid)
{
	if (uid == OVERFLOW_UID && !has_all_uids())
		return false;
	return uid == 0 || uid == geteuid();
}

/* What is wrong with a command that was understood to be one, or NULL. */
static const char *judge(const struct cprof_command *command, size_t size, const struct ucred *sender)
{
	if (!may_command(sender->uid))
		return "it is profiled by another user";
	if (command->version != CPROF_SHM_VERSION)
		return "its collector is of another version of cprof";
	if (size != sizeof *command || command->what < CPROF_COMMAND_LIST ||
	    command->what > CPROF_COMMAND_TOP)
		return "the collector does not understand the command";
	return NULL;
}

/* To a peer that gets no place: what does not fit into its socket is not said. */
static void turn_away(int fd, int error, const char *why)
{
	struct cprof_answer answer = {.magic = CPROF_COMMAND_MAGIC,
				      .version = CPROF_SHM_VERSION,
				      .what = CPROF_ANSWER_END,
				      .error = error,
				      .bytes = (uint32_t)strlen(why)};
	struct iovec parts[] = {{&answer, sizeof answer}, {(void *)(uintptr_t)why, answer.bytes}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	(void)sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

/* As much of it as there is; the rest is zero. */
static struct cprof_command copy(const void *message, size_t size)
{
	struct cprof_command command = {0};
	memcpy(&command, message, size < sizeof command ? size : sizeof command);
	return command;
}

bool commands_is_one(const void *message, size_t size)
{
	return size >= offsetof(struct cprof_command, pid) &&
	       copy(message, size).magic == CPROF_COMMAND_MAGIC;
}

void commands_take(struct commands *commands, int fd, const void *message, size_t size, int target_fd,
		   const struct ucred *sender)
{
	const struct cprof_command command = copy(message, size);
	const char *wrong = judge(&command, size, sender);
	struct command_peer *place = NULL;
	for (size_t i = 0; i < COMMANDS_MAX && !place; i++)
		if (commands->peers[i].fd < 0)
			place = &commands->peers[i];
	if (!wrong && place) {
		*place = (struct command_peer){
			.fd = fd, .target_fd = target_fd, .uid = sender->uid, .command = command};
		return;
	}
	if (target_fd >= 0)
		close(target_fd);
	if (wrong)
		turn_away(fd, may_command(sender->uid) ? -EPROTO : -EPERM, wrong);
	else
		turn_away(fd, -EBUSY, "its collector has too many commands to serve; try again");
}

/* ---- serving ----------------------------------------------------------------------------- */

static enum command_stage stage_of(const struct command_peer *peer)
{
	if (peer->command.what == CPROF_COMMAND_LIST || peer->command.what == CPROF_COMMAND_SET)
		return COMMAND_IS_QUICK;
	return peer->is_checked ? COMMAND_IS_LONG : COMMAND_IS_NEW;
}

struct command_peer *commands_next(struct commands *commands, enum command_stage stage)
{
	for (size_t i = 0; i < COMMANDS_MAX; i++) {
		struct command_peer *peer = &commands->peers[i];
		if (peer->fd < 0 || peer->is_in_service || peer->is_answered || stage_of(peer) != stage)
			continue;
		if (stage == COMMAND_IS_NEW)
			peer->is_checked = true;
		else
			peer->is_in_service = true;
		return peer;
	}
	return NULL;
}

void command_tell_to_wait(struct command_peer *peer)
{
	struct cprof_answer answer = {
		.magic = CPROF_COMMAND_MAGIC, .version = CPROF_SHM_VERSION, .what = CPROF_ANSWER_WAIT};
	(void)send(peer->fd, &answer, sizeof answer,
		   MSG_NOSIGNAL | MSG_DONTWAIT); /* the first: there is room */
}

/* Room for `size` more bytes, or NULL. */
static unsigned char *reserve(struct command_peer *peer, size_t size)
{
	size_t used = peer->end - peer->begin;
	if (peer->is_too_much || size > COMMAND_ANSWER_BYTES_MAX - used) {
		peer->is_too_much = true;
		return NULL;
	}
	if (peer->capacity - peer->end < size && peer->begin) {
		memmove(peer->bytes, peer->bytes + peer->begin, used);
		peer->begin = 0;
		peer->end = used;
	}
	if (peer->capacity - peer->end < size) {
		size_t capacity = (used + size) * 2;
		unsigned char *grown = realloc(peer->bytes, capacity);
		if (!grown) {
			peer->is_too_much = true;
			return NULL;
		}
		peer->bytes = grown;
		peer->capacity = capacity;
	}
	unsigned char *room = peer->bytes + peer->end;
	peer->end += size;
	return room;
}

static void queue(struct command_peer *peer, enum cprof_answer_what what, int error, const void *bytes,
		  size_t size)
{
	struct cprof_answer answer = {.magic = CPROF_COMMAND_MAGIC,
				      .version = CPROF_SHM_VERSION,
				      .what = what,
				      .error = error,
				      .bytes = (uint32_t)size};
	uint32_t whole = (uint32_t)(sizeof answer + size);
	unsigned char *room = reserve(peer, sizeof whole + whole);
	if (!room)
		return;
	memcpy(room, &whole, sizeof whole);
	memcpy(room + sizeof whole, &answer, sizeof answer);
	if (size)
		memcpy(room + sizeof whole + sizeof answer, bytes, size);
}

void command_answer(struct command_peer *peer, enum cprof_answer_what what, const void *bytes, size_t size)
{
	queue(peer, what, 0, bytes, size < CPROF_ANSWER_BYTES_MAX ? size : CPROF_ANSWER_BYTES_MAX);
}

void command_answer_text(struct command_peer *peer, const char *text, size_t size)
{
	while (size) {
		size_t piece = size < CPROF_ANSWER_BYTES_MAX ? size : CPROF_ANSWER_BYTES_MAX;
		command_answer(peer, CPROF_ANSWER_TEXT, text, piece);
		text += piece;
		size -= piece;
	}
}

void command_end(struct command_peer *peer, int error, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	queue(peer, CPROF_ANSWER_END, error, line,
	      n < 0                     ? 0
	      : (size_t)n < sizeof line ? (size_t)n
					: sizeof line - 1);
	peer->is_answered = true;
	peer->is_in_service = false;
}

bool command_is_abandoned(const struct command_peer *peer)
{
	struct pollfd gone = {.fd = peer->fd};
	return peer->fd < 0 || (poll(&gone, 1, 0) == 1 && gone.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* ---- sending ----------------------------------------------------------------------------- */

/* Sends until the peer takes no more.  False: it is gone. */
static bool send_some(struct command_peer *peer, int64_t now_ms)
{
	while (peer->begin < peer->end) {
		uint32_t size;
		memcpy(&size, peer->bytes + peer->begin, sizeof size);
		if (send(peer->fd, peer->bytes + peer->begin + sizeof size, size,
			 MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
		}
		peer->begin += sizeof size + size;
		peer->taken_ms = now_ms;
	}
	return true;
}

void commands_send(struct commands *commands, int64_t now_ms)
{
	for (size_t i = 0; i < COMMANDS_MAX; i++) {
		struct command_peer *peer = &commands->peers[i];
		/* Who serves it holds a pointer to it. */
		if (!peer->is_answered)
			continue;
		if (peer->taken_ms == 0)
			peer->taken_ms = now_ms;
		if (peer->is_too_much || !send_some(peer, now_ms) || peer->begin == peer->end ||
		    now_ms - peer->taken_ms >= COMMAND_PATIENCE_MS)
			let_go(peer);
	}
}

bool commands_are_done(const struct commands *commands)
{
	for (size_t i = 0; i < COMMANDS_MAX; i++)
		if (commands->peers[i].fd >= 0)
			return false;
	return true;
}

size_t commands_poll_fds(const struct commands *commands, struct pollfd *fds)
{
	size_t count = 0;
	for (size_t i = 0; i < COMMANDS_MAX; i++) {
		const struct command_peer *peer = &commands->peers[i];
		if (peer->fd >= 0 && peer->is_answered)
			fds[count++] = (struct pollfd){.fd = peer->fd, .events = POLLOUT};
	}
	return count;
}
