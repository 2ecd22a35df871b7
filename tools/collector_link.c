/* SPDX-License-Identifier: MIT */
/*
 * Collectors listen on abstract sockets whose names stand in /proc/net/unix, those of
 * one network namespace.  Which one has a process is not written anywhere: all are
 * asked at once, so that one that is stuck does not hide the others.  Anybody can make
 * a socket with such a name, so only those are asked that belong to us, or, if we are
 * root, to anybody; and what they say is never trusted with the terminal.
 *
 * Context: command line.
 */
#include "collector_link.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"

#define NAME_BYTES (sizeof CPROF_SOCKET_PREFIX - 1 + CPROF_SESSION_HEX)
#define LISTENS_FLAG 0x10000u /* __SO_ACCEPTCON */

/* A collector in the middle of a large library answers late, but it does. */
#define PATIENCE_MS 10000
/* Once it has said that the process is known. */
#define WORK_PATIENCE_MS 120000

/* ---- names ------------------------------------------------------------------------------- */

struct names {
	char (*names)[NAME_BYTES + 1];
	size_t count;
};

static bool is_name(const char *text)
{
	size_t prefix = strlen(CPROF_SOCKET_PREFIX);
	return strlen(text) == NAME_BYTES && strncmp(text, CPROF_SOCKET_PREFIX, prefix) == 0 &&
	       strspn(text + prefix, "0123456789abcdef") == CPROF_SESSION_HEX;
}

/* The collectors' sockets in the network namespace that this process is in. */
static struct names list_names(void)
{
	struct names found = {0};
	char line[256];
	FILE *table = fopen("/proc/self/net/unix", "re");
	while (table && fgets(line, sizeof line, table)) {
		unsigned flags;
		char path[128];
		if (sscanf(line, "%*[^:]: %*x %*x %x %*x %*x %*u @%127s", &flags, path) != 2 ||
		    !(flags & LISTENS_FLAG) || !is_name(path))
			continue;
		void *grown = reallocarray(found.names, found.count + 1, sizeof *found.names);
		if (!grown)
			break;
		found.names = grown;
		memcpy(found.names[found.count++], path, sizeof *found.names);
	}
	if (table)
		fclose(table);
	return found;
}

/* ---- one collector ------------------------------------------------------------------------- */

/* Connected, and to somebody whom we may believe; else -errno. */
static int open_collector(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct ucred owner;
	socklen_t size = sizeof owner;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	memcpy(address.sun_path + 1, name, NAME_BYTES);
	int error = 0;
	if (connect(fd, (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + NAME_BYTES)) ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &owner, &size))
		error = -errno;
	else if (geteuid() != 0 && owner.uid != geteuid())
		error = -EPERM;
	if (!error)
		return fd;
	close(fd);
	return error;
}

static int send_command(int fd, const struct cprof_command *command, int pidfd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {.bytes = {0}};
	struct iovec io = {.iov_base = (void *)(uintptr_t)command, .iov_len = sizeof *command};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
	if (pidfd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof control.bytes;
		struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof pidfd);
		memcpy(CMSG_DATA(rights), &pidfd, sizeof pidfd);
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

struct message {
	struct cprof_answer answer;
	char bytes[CPROF_ANSWER_BYTES_MAX];
};

/* 0; -EAGAIN: not yet; -ESRCH: closed, so it ended, and what it had; -EPROTO: of another version. */
static int read_answer(int fd, struct message *out_message)
{
	ssize_t size = recv(fd, out_message, sizeof *out_message, MSG_DONTWAIT);
	if (size < 0 && (errno == EINTR || errno == EAGAIN))
		return -EAGAIN;
	const struct cprof_answer *answer = &out_message->answer;
	if (size <= 0)
		return -ESRCH;
	if (size < (ssize_t)sizeof *answer || answer->magic != CPROF_COMMAND_MAGIC ||
	    (size_t)size != sizeof *answer + answer->bytes ||
	    (answer->version != CPROF_SHM_VERSION && answer->what != CPROF_ANSWER_END))
		return -EPROTO;
	return 0;
}

/* What the last answer says. */
static int take_end(const struct message *message, char line[COLLECTOR_LINE_BYTES])
{
	uint32_t bytes = message->answer.bytes;
	snprintf(line, COLLECTOR_LINE_BYTES, "%.*s",
		 bytes < COLLECTOR_LINE_BYTES ? (int)bytes : COLLECTOR_LINE_BYTES - 1, message->bytes);
	return message->answer.error > 0 ? -EPROTO : message->answer.error;
}

/* Passes on `message` and those after it, up to the last: its error; or what keeps it away, and line says it. */
static int pass_on(int fd, struct message *message, collector_on_answer on_answer, void *argument,
		   char line[COLLECTOR_LINE_BYTES])
{
	int error = 0;
	while (error == 0 || error == -EAGAIN) {
		if (error == 0 && message->answer.what == CPROF_ANSWER_END)
			return take_end(message, line);
		if (error == 0)
			on_answer((enum cprof_answer_what)message->answer.what, message->bytes,
				  message->answer.bytes, argument);
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		if (poll(&ready, 1, WORK_PATIENCE_MS) == 0) {
			snprintf(line, COLLECTOR_LINE_BYTES, "its collector answers no more");
			return -ETIMEDOUT;
		}
		error = read_answer(fd, message);
	}
	snprintf(line, COLLECTOR_LINE_BYTES, "its collector ended before it had answered");
	return error;
}

/* Whether an answer, or an error, says nothing of the process: another collector may have it. */
static bool is_of_collector(int error)
{
	return error == -ESRCH || error == -EPROTO || error == -EBUSY;
}

/* ---- all of them --------------------------------------------------------------------------- */

struct asked {
	struct pollfd *fds;
	size_t count;
	size_t open_count;
};

/* Sends the command to all at once: a collector that is stuck must not hide the others. */
static struct asked ask_everybody(const struct cprof_command *command, int pidfd)
{
	struct names names = list_names();
	struct asked asked = {.fds = calloc(names.count + 1, sizeof *asked.fds)};
	for (size_t i = 0; asked.fds && i < names.count; i++) {
		int fd = open_collector(names.names[i]);
		if (fd >= 0 && send_command(fd, command, pidfd) == 0)
			asked.fds[asked.count++] = (struct pollfd){.fd = fd, .events = POLLIN};
		else if (fd >= 0)
			close(fd);
	}
	free(names.names);
	asked.open_count = asked.count;
	return asked;
}

static void hang_up(struct asked *asked, size_t i)
{
	close(asked->fds[i].fd);
	asked->fds[i].fd = -1; /* poll() passes it over */
	asked->open_count--;
}

/*
 * Waits for the one that knows the process, and hangs up on who does not.  Its place,
 * with its first answer; or the count: nobody does.  Then line is not empty if one of
 * them could not say so.
 */
static size_t find_knowing(struct asked *asked, struct message *out_message, char line[COLLECTOR_LINE_BYTES])
{
	int64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	while (asked->open_count) {
		int64_t left = deadline - clock_monotonic_ms();
		int ready = poll(asked->fds, (nfds_t)asked->count, left > 0 ? (int)left : 0);
		if (ready == 0) {
			snprintf(line, COLLECTOR_LINE_BYTES, "a collector does not answer");
			break;
		}
		for (size_t i = 0; ready > 0 && i < asked->count; i++) {
			if (asked->fds[i].fd < 0 || !asked->fds[i].revents)
				continue;
			int error = read_answer(asked->fds[i].fd, out_message);
			if (error == -EAGAIN)
				continue;
			if (!error && out_message->answer.what == CPROF_ANSWER_END &&
			    is_of_collector(out_message->answer.error)) {
				if (out_message->answer.error != -ESRCH)
					take_end(out_message, line);
				error = -ESRCH;
			}
			if (!error)
				return i;
			if (error == -EPROTO)
				snprintf(line, COLLECTOR_LINE_BYTES,
					 "a collector gave an answer of another version");
			hang_up(asked, i);
		}
	}
	return asked->count;
}

int collector_link_ask(const struct cprof_command *command, int pidfd, collector_on_answer on_answer,
		       void *argument, char line[COLLECTOR_LINE_BYTES])
{
	struct message message;
	struct asked asked = ask_everybody(command, pidfd);
	size_t i = find_knowing(&asked, &message, line);
	int error = -ESRCH;
	if (i < asked.count)
		error = pass_on(asked.fds[i].fd, &message, on_answer, argument, line);
	for (i = 0; i < asked.count; i++)
		if (asked.fds[i].fd >= 0)
			hang_up(&asked, i);
	free(asked.fds);
	return error;
}

int collector_link_ask_all(const struct cprof_command *command, collector_on_answer on_answer, void *argument)
{
	char line[COLLECTOR_LINE_BYTES] = "";
	struct message message;
	struct asked asked = ask_everybody(command, -1);
	size_t i;
	while ((i = find_knowing(&asked, &message, line)) < asked.count) {
		(void)pass_on(asked.fds[i].fd, &message, on_answer, argument, line);
		hang_up(&asked, i);
	}
	for (i = 0; i < asked.count; i++)
		if (asked.fds[i].fd >= 0)
			hang_up(&asked, i);
	free(asked.fds);
	return line[0] ? -EIO : 0;
}
