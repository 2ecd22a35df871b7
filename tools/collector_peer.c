/* SPDX-License-Identifier: MIT */
/*
 * Collectors listen on abstract sockets whose names stand in /proc/net/unix, those of
 * one network namespace.  Which one has a process is not written anywhere: each is
 * asked.  Anybody can make a socket with such a name, so only those are asked that
 * belong to us, or, if we are root, to anybody; and what they say is never trusted
 * with the terminal.
 *
 * Context: command line.
 */
#include "collector_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "cprof_units.h"

#define NAME_BYTES (sizeof CPROF_SOCKET_PREFIX - 1 + CPROF_SESSION_HEX)
#define LISTENS_FLAG 0x10000u /* __SO_ACCEPTCON */
#define LINE_BYTES 512

/* A collector in the middle of a large library answers late; writing profiles takes its time. */
#define PATIENCE_MS 10000
#define SNAPSHOT_PATIENCE_MS 120000

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

/* Passes the answers on.  The error of the last one, or what kept it away; then line says it. */
static int read_answers(int fd, int patience_ms, collector_on_answer on_answer, void *argument,
			char line[LINE_BYTES])
{
	union {
		struct cprof_answer answer;
		char bytes[sizeof(struct cprof_answer) + CPROF_ANSWER_BYTES_MAX];
	} message;
	for (;;) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		int polled = poll(&ready, 1, patience_ms);
		if (polled < 0 && errno == EINTR)
			continue;
		if (polled <= 0) {
			snprintf(line, LINE_BYTES, "its collector does not answer");
			return -ETIMEDOUT;
		}
		ssize_t size = recv(fd, &message, sizeof message, MSG_DONTWAIT);
		if (size < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		const struct cprof_answer *answer = &message.answer;
		if (size < (ssize_t)sizeof *answer || answer->magic != CPROF_COMMAND_MAGIC ||
		    (size_t)size != sizeof *answer + answer->bytes ||
		    (answer->version != CPROF_SHM_VERSION && answer->what != CPROF_ANSWER_END)) {
			snprintf(line, LINE_BYTES,
				 "its collector gave no answer that this version of cprof reads");
			return size > 0 ? -EPROTO : -ESRCH; /* closed: it ended, and so did what it had */
		}
		const char *bytes = message.bytes + sizeof *answer;
		if (answer->what == CPROF_ANSWER_END) {
			int length = answer->bytes < LINE_BYTES ? (int)answer->bytes : LINE_BYTES - 1;
			snprintf(line, LINE_BYTES, "%.*s", length, bytes);
			return answer->error > 0 ? -EPROTO : answer->error;
		}
		on_answer((enum cprof_answer_what)answer->what, bytes, answer->bytes, argument);
	}
}

static int ask(const char *name, const struct cprof_command *command, int pidfd,
	       collector_on_answer on_answer, void *argument, char line[LINE_BYTES])
{
	int patience = command->what == CPROF_COMMAND_SNAPSHOT ? SNAPSHOT_PATIENCE_MS : PATIENCE_MS;
	int fd = open_collector(name);
	if (fd < 0)
		return -ESRCH; /* gone meanwhile, or not ours to ask */
	int error = send_command(fd, command, pidfd);
	if (error)
		snprintf(line, LINE_BYTES, "its collector cannot be reached: %s", strerror(-error));
	else
		error = read_answers(fd, patience, on_answer, argument, line);
	close(fd);
	return error;
}

/* Whether an error says nothing of the process: another collector may have it. */
static bool is_of_collector(int error)
{
	return error == -ESRCH || error == -EPROTO || error == -ETIMEDOUT || error == -EBUSY;
}

/*
 * Asks those of this namespace.  -ESRCH: none of them has the process; `line` is not
 * empty if one of them could not say so.
 */
static int ask_here(const struct cprof_command *command, int pidfd, collector_on_answer on_answer,
		    void *argument, char line[LINE_BYTES])
{
	struct names names = list_names();
	int error = -ESRCH;
	for (size_t i = 0; i < names.count && is_of_collector(error); i++) {
		char said[LINE_BYTES] = "";
		error = ask(names.names[i], command, pidfd, on_answer, argument, said);
		if (error && error != -ESRCH)
			memcpy(line, said, LINE_BYTES);
	}
	free(names.names);
	return is_of_collector(error) ? -ESRCH : error;
}

/* ---- the process --------------------------------------------------------------------------- */

pid_t collector_parse_pid(const char *name, const char *text)
{
	uint64_t pid;
	if (cprof_read_number(text, INT32_MAX, &pid) && pid > 0)
		return (pid_t)pid;
	fprintf(stderr, "cprof %s: %s: accepted is the PID of a live process\n", name, text);
	return 0;
}

static bool has_ended(pid_t pid)
{
	char path[64];
	char state = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *file = fopen(path, "re");
	bool has_state = file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1;
	if (file)
		fclose(file);
	return !file || (has_state && (state == 'Z' || state == 'X'));
}

/* Goes into the process's network namespace.  0: done; -EALREADY: we are there; -errno. */
static int enter_network(pid_t pid)
{
	char path[64];
	struct stat here, there;
	snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int error = 0;
	if (fstat(fd, &there) == 0 && stat("/proc/self/ns/net", &here) == 0 && here.st_ino == there.st_ino &&
	    here.st_dev == there.st_dev)
		error = -EALREADY;
	else if (setns(fd, CLONE_NEWNET))
		error = -errno;
	close(fd);
	return error;
}

static void say(const char *name, pid_t pid, const char *line)
{
	fprintf(stderr, "cprof %s: process %d: ", name, pid);
	collector_print(stderr, line, strlen(line), false);
	fputc('\n', stderr);
}

/* Why nobody could be asked about the process, or nobody knew it; `line`: what a collector said. */
static void explain_absence(const char *name, pid_t pid, int network_error, const char *line)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof path, "/proc/%d", pid);
	if (stat(path, &st) || has_ended(pid)) {
		fprintf(stderr, "cprof %s: there is no process %d\n", name, pid);
		return;
	}
	if (geteuid() != 0 && st.st_uid != geteuid()) {
		const struct passwd *owner = getpwuid(st.st_uid);
		fprintf(stderr,
			"cprof %s: process %d belongs to another user (%s): accepted are your own, or be "
			"root\n",
			name, pid, owner ? owner->pw_name : "of no name");
	} else if (network_error) {
		fprintf(stderr,
			"cprof %s: process %d cannot be reached: its network namespace cannot be entered: "
			"%s\n",
			name, pid, strerror(-network_error));
	} else if (line[0]) {
		say(name, pid, line);
	} else {
		fprintf(stderr,
			"cprof %s: process %d is not profiled: accepted is one that runs with libcprof.so, "
			"see `cprof list`\n",
			name, pid);
	}
}

int collector_ask_about(const char *name, pid_t pid, struct cprof_command *command,
			collector_on_answer on_answer, void *argument)
{
	char line[LINE_BYTES] = "";
	command->magic = CPROF_COMMAND_MAGIC;
	command->version = CPROF_SHM_VERSION;
	command->pid = (uint32_t)pid;
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int error = ask_here(command, pidfd, on_answer, argument, line);
	int network_error = 0;
	if (error == -ESRCH) {
		network_error = enter_network(pid);
		if (network_error == 0)
			error = ask_here(command, pidfd, on_answer, argument, line);
		else if (network_error == -EALREADY)
			network_error = 0;
	}
	if (pidfd >= 0)
		close(pidfd);
	if (error == -ESRCH)
		explain_absence(name, pid, network_error, line);
	else if (error)
		say(name, pid, line);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}

void collector_ask_all(struct cprof_command *command, collector_on_answer on_answer, void *argument)
{
	struct names names = list_names();
	command->magic = CPROF_COMMAND_MAGIC;
	command->version = CPROF_SHM_VERSION;
	for (size_t i = 0; i < names.count; i++) {
		char line[LINE_BYTES] = "";
		int error = ask(names.names[i], command, -1, on_answer, argument, line);
		if (error && error != -ESRCH) {
			fputs("cprof list: passed over: ", stderr);
			collector_print(stderr, line, strlen(line), false);
			fputc('\n', stderr);
		}
	}
	free(names.names);
}

void collector_print(FILE *stream, const char *bytes, size_t size, bool is_text)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)bytes[i];
		bool is_harmless = (c >= 0x20 && c != 0x7f) || (is_text && (c == '\n' || c == '\t'));
		fputc(is_harmless ? c : '?', stream);
	}
}
