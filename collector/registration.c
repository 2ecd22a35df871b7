/* SPDX-License-Identifier: MIT */
/*
 * Anybody on the machine may connect, so nothing is done for a peer before its token
 * was compared, and a peer costs at most one descriptor for one second.  When too
 * many are silent the oldest makes room.
 *
 * The process that has sent its registration may be gone already: if this worker dies too,
 * the message must be with somebody.  So the message stays in the connection, which the keeper
 * has as well; the supervisor gets it before it is closed, and then the process.  Of the
 * short processes that left nothing, which come by the thousand, it is told nothing.
 *
 * Context: collector, main thread.
 */
#include "registration.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keeper.h"
#include "log.h"
#include "supervisor.h"

/* More than a peer may send, so that too many are seen rather than guessed. */
#define FDS_MAX 4

/* The socket's name can be read in /proc/net/unix: strangers must not fill anybody's screen. */
#define COMPLAINTS_MAX 8

#define STARVED_MS 100
#define ACCEPTED_MAX 1024

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int session_parse(const char *text, struct session *out_session)
{
	struct session session;
	if (!text || strnlen(text, 2 * CPROF_SESSION_HEX + 2) != 2 * CPROF_SESSION_HEX + 2 ||
	    text[CPROF_SESSION_HEX] != ':' || text[2 * CPROF_SESSION_HEX + 1] != ':')
		return -EINVAL;
	const char *hex = text + CPROF_SESSION_HEX + 1;
	for (size_t i = 0; i < CPROF_TOKEN_BYTES; i++) {
		int high = hex_digit(hex[2 * i]);
		int low = hex_digit(hex[2 * i + 1]);
		if (high < 0 || low < 0)
			return -EINVAL;
		session.token[i] = (uint8_t)(high << 4 | low);
	}
	const char *digits = text + 2 * CPROF_SESSION_HEX + 2;
	char *end;
	errno = 0;
	unsigned long pid = strtoul(digits, &end, 10);
	if (*digits < '0' || *digits > '9' || *end || errno || pid == 0 || pid > INT32_MAX)
		return -EINVAL;
	session.root_pid = (uint32_t)pid;
	*out_session = session;
	return 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void client_handle_close(struct client_handle *handle)
{
	close_fd(handle->segment_fd);
	close_fd(handle->pidfd);
	close_fd(handle->root_fd);
	handle->segment_fd = handle->pidfd = handle->root_fd = -1;
}

void registration_init(struct registration *registration, int listen_fd, const struct session *session,
		       struct commands *commands)
{
	*registration = (struct registration){
		.listen_fd = listen_fd, .link_fd = -1, .session = *session, .commands = commands};
}

/* Takes the same time wherever the first difference is. */
static bool is_same_token(const uint8_t *a, const uint8_t *b)
{
	unsigned difference = 0;
	for (size_t i = 0; i < CPROF_TOKEN_BYTES; i++)
		difference |= (unsigned)(a[i] ^ b[i]);
	return difference == 0;
}

/* What /proc says of a descriptor: false if that is no pidfd. */
static bool read_pidfd(int fd, long *out_pid)
{
	char path[64];
	char text[1024];
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	int info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return false;
	ssize_t n = read(info, text, sizeof text - 1);
	close(info);
	if (n <= 0)
		return false;
	text[n] = '\0';
	const char *line = strstr(text, "\nPid:");
	if (!line)
		return false;
	*out_pid = strtol(line + 5, NULL, 10);
	return true;
}

pid_t pidfd_pid(int fd)
{
	long pid;
	return read_pidfd(fd, &pid) ? (pid_t)pid : -1;
}

/*
 * The pidfd that was sent if it is what it should be, else one of our own, else -1.  *out_pid
 * is as of pidfd_pid(); without a pidfd the peer's.
 */
static int choose_pidfd(int sent, pid_t peer_pid, pid_t *out_pid)
{
	long said;
	/* Of another process: only where what it says can be compared. */
	if (sent >= 0 && read_pidfd(sent, &said) && (said <= 0 || said == peer_pid)) {
		*out_pid = (pid_t)said;
		return sent;
	}
	close_fd(sent);
	int own = peer_pid > 0 ? (int)syscall(SYS_pidfd_open, peer_pid, 0) : -1;
	*out_pid = own >= 0 ? pidfd_pid(own) : peer_pid;
	return own;
}

static int open_root(pid_t pid)
{
	char path[64];
	if (pid <= 0)
		return -1;
	snprintf(path, sizeof path, "/proc/%d/root", pid);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static size_t received_fds(struct msghdr *message, int fds[FDS_MAX])
{
	size_t count = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t bytes = c->cmsg_len - CMSG_LEN(0);
		for (size_t i = 0; i < bytes / sizeof(int) && count < FDS_MAX; i++)
			memcpy(&fds[count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
	return count;
}

/* What is wrong with a message, or NULL. */
static const char *judge(const struct registration *registration, const struct cprof_hello *hello,
			 ssize_t size, int flags, size_t fd_count)
{
	if (size < (ssize_t)offsetof(struct cprof_hello, pid) || hello->magic != CPROF_MAGIC)
		return "it is not a registration";
	if (hello->version != CPROF_SHM_VERSION)
		return "it uses another version of libcprof.so than this collector";
	if (size != sizeof *hello || flags & MSG_TRUNC)
		return "its registration has the wrong size";
	if (!is_same_token(hello->token, registration->session.token))
		return "it does not belong to this process tree";
	if (flags & MSG_CTRUNC || fd_count < 1 || fd_count > 2)
		return "its descriptors did not arrive (RLIMIT_NOFILE?)";
	return NULL;
}

/*
 * Only who knows the token is one of ours that should have got in; anybody can connect,
 * and must not be able to write to the program's stderr by that.
 */
static void complain(struct registration *registration, const struct cprof_hello *hello, ssize_t size,
		     pid_t pid, const char *wrong)
{
	bool is_ours = size >= (ssize_t)(offsetof(struct cprof_hello, token) + sizeof hello->token) &&
		       is_same_token(hello->token, registration->session.token);
	if (!is_ours)
		log_info("a stranger (process %d) was turned away: %s", pid, wrong);
	else if (registration->complaints++ < COMPLAINTS_MAX)
		log_warn("process %d is not profiled: %s", pid, wrong);
}

enum received { RECEIVED_NOTHING_YET, RECEIVED_REFUSED, RECEIVED_PROCESS, RECEIVED_COMMAND };

/* Reads the peer's message.  PROCESS: out_handle is set; COMMAND: fd was taken over. */
static enum received receive(struct registration *registration, int fd, struct client_handle *out_handle)
{
	union {
		struct cprof_hello hello;
		struct cprof_command command;
	} received = {.command = {0}};
	const struct cprof_hello *hello = &received.hello;
	union {
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = {.bytes = {0}};
	struct iovec io = {.iov_base = &received, .iov_len = sizeof received};
	struct msghdr message = {.msg_iov = &io,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof control};
	ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_PEEK);
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return RECEIVED_NOTHING_YET;
	int fds[FDS_MAX] = {-1, -1, -1, -1};
	size_t fd_count = size < 0 ? 0 : received_fds(&message, fds);
	struct ucred peer = {0};
	socklen_t peer_size = sizeof peer;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size))
		peer = (struct ucred){.uid = (uid_t)-1};
	if (size <= 0) {
		for (size_t i = 0; i < fd_count; i++)
			close(fds[i]);
		return RECEIVED_REFUSED;
	}
	if (registration->commands && !(message.msg_flags & MSG_TRUNC) &&
	    commands_is_one(&received, (size_t)size)) {
		/*
		 * Who commands, waits, and asks again: nobody needs to keep the message.  Not read before
		 * the connection is closed it would reset that, and with it our answer.
		 */
		char again[sizeof received];
		(void)recv(fd, again, sizeof again, MSG_DONTWAIT);
		for (size_t i = 1; i < fd_count; i++)
			close(fds[i]);
		commands_take(registration->commands, fd, &received, (size_t)size, fds[0], &peer);
		return RECEIVED_COMMAND;
	}
	const char *wrong = judge(registration, hello, size, message.msg_flags, fd_count);
	if (wrong) {
		complain(registration, hello, size, peer.pid, wrong);
		for (size_t i = 0; i < fd_count; i++)
			close(fds[i]);
		return RECEIVED_REFUSED;
	}
	pid_t pid;
	int pidfd = choose_pidfd(fds[1], peer.pid, &pid);
	*out_handle = (struct client_handle){
		.is_first = hello->is_first && hello->pid == registration->session.root_pid,
		.is_again = hello->is_again,
		.pid = hello->pid,
		.peer_pid = peer.pid,
		.segment_fd = fds[0],
		.pidfd = pidfd,
		/* /proc may be of another pid namespace than ours. */
		.root_fd = open_root(pid),
	};
	return RECEIVED_PROCESS;
}

static void forget_pending(struct registration *registration, size_t i)
{
	registration->pending_count--;
	memmove(&registration->pending[i], &registration->pending[i + 1],
		(registration->pending_count - i) * sizeof registration->pending[0]);
}

/* Hands the supervisor a copy of the connection, once. */
static void tell(const struct registration *registration, struct pending_peer *peer)
{
	if (!peer->is_told)
		supervisor_tell_peer(registration->link_fd, peer->peer, peer->fd);
	peer->is_told = true;
}

/* Nothing more is to be had from the peer.  Its descriptor may be the command's now. */
static void serve_no_longer(struct registration *registration, const struct pending_peer *peer,
			    enum received got)
{
	/* The registration will say so itself: until then the message must be there. */
	if (got != RECEIVED_PROCESS && peer->is_told)
		supervisor_tell_peer_served(registration->link_fd, peer->peer);
	if (got != RECEIVED_COMMAND)
		close(peer->fd);
}

void registration_adopt(struct registration *registration, int fd, uint32_t peer, int64_t now_ms)
{
	if (registration->pending_count == REGISTRATION_PENDING_MAX) {
		serve_no_longer(registration, &registration->pending[0], RECEIVED_REFUSED);
		forget_pending(registration, 0);
	}
	registration->pending[registration->pending_count++] = (struct pending_peer){
		.fd = fd, .peer = peer, .is_told = true, .deadline_ms = now_ms + REGISTRATION_PATIENCE_MS};
}

/* Hears one peer.  Its end, unless it has said nothing yet. */
static enum received hear(struct registration *registration, struct pending_peer *peer,
			  struct client_handle *out_handle)
{
	enum received got = receive(registration, peer->fd, out_handle);
	if (got == RECEIVED_PROCESS && registration->is_nothing &&
	    registration->is_nothing(registration->is_nothing_argument, out_handle)) {
		client_handle_close(out_handle);
		got = RECEIVED_REFUSED;
	}
	if (got == RECEIVED_PROCESS || got == RECEIVED_NOTHING_YET)
		tell(registration, peer);
	if (got == RECEIVED_NOTHING_YET)
		return got;
	if (got == RECEIVED_PROCESS)
		out_handle->peer = peer->peer;
	serve_no_longer(registration, peer, got);
	return got;
}

int registration_next(struct registration *registration, int64_t now_ms, struct client_handle *out_handle)
{
	for (size_t i = 0; i < registration->pending_count;) {
		struct pending_peer peer = registration->pending[i];
		enum received got = hear(registration, &peer, out_handle);
		if (got == RECEIVED_NOTHING_YET && now_ms < peer.deadline_ms) {
			i++;
			continue;
		}
		if (got == RECEIVED_NOTHING_YET) {
			log_info("a peer connected and said nothing: dropped");
			serve_no_longer(registration, &peer, RECEIVED_REFUSED);
		}
		forget_pending(registration, i);
		if (got == RECEIVED_PROCESS)
			return 1;
	}
	/* Not more at once than leaves time for the others, however many come. */
	for (int taken = 0;
	     taken < ACCEPTED_MAX && registration->listen_fd >= 0 && now_ms >= registration->accept_at_ms;
	     taken++) {
		int fd = accept4(registration->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
			registration->accept_at_ms = now_ms + STARVED_MS;
		if (fd < 0)
			return 0;
		struct pending_peer peer = {.fd = fd, .peer = registration->next_peer++};
		if (!keeper_is_there())
			tell(registration, &peer);
		enum received got = hear(registration, &peer, out_handle);
		if (got == RECEIVED_NOTHING_YET)
			registration_adopt(registration, fd, peer.peer, now_ms);
		if (got == RECEIVED_PROCESS)
			return 1;
	}
	return 0;
}

void registration_shut(struct registration *registration)
{
	if (registration->listen_fd < 0)
		return;
	if (registration->is_shut) {
		close(registration->listen_fd);
		registration->listen_fd = -1;
		return;
	}
	shutdown(registration->listen_fd, SHUT_RDWR);
	registration->is_shut = true;
}

size_t registration_poll_fds(const struct registration *registration, int64_t now_ms, struct pollfd *fds)
{
	/* A socket that cannot be served now would only wake us up; a negative one is skipped by poll(). */
	int listen_fd = now_ms < registration->accept_at_ms ? -1 : registration->listen_fd;
	fds[0] = (struct pollfd){.fd = listen_fd, .events = POLLIN};
	for (size_t i = 0; i < registration->pending_count; i++)
		fds[i + 1] = (struct pollfd){.fd = registration->pending[i].fd, .events = POLLIN};
	return registration->pending_count + 1;
}
