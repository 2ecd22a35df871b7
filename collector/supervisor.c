/* SPDX-License-Identifier: MIT */
/*
 * The link is a SOCK_SEQPACKET pair; its end closes with the worker, whichever way
 * that died, so one blocking recvmsg() waits for everything.  The worker tells of a
 * registration before it looks into the segment: a segment that kills workers is in
 * good hands all the same, and costs at most RESTARTS_MAX of them.
 *
 * Context: collector; see supervisor.h.
 */
#include "supervisor.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "keeper.h"
#include "log.h"

#define RESTARTS_MAX 60
#define RESTARTS_WINDOW_S 3600
#define RESTART_PAUSE_S 1
#define LINK_PATIENCE_S 1
/*
 * A short process makes three messages within a millisecond, and each wakes this process at the
 * cost of the worker, and of the program that may wait for its processor.  They keep well where they are.
 */
#define LINK_REST_NS 5000000

enum link_kind {
	LINK_PEER = 1,
	LINK_PEER_SERVED,
	LINK_PEER_KEPT,
	LINK_REGISTERED,
	LINK_FINISHED,
	LINK_OUT_DIR,
	LINK_FIRST_ENDED
};

struct link_message {
	uint32_t kind;
	uint32_t id;
	uint32_t peer;
	uint32_t is_first;
	uint32_t is_again;
	uint32_t pid;
	int32_t peer_pid;
	uint32_t has_pidfd;
	uint32_t has_root;
	char out_dir[CPROF_PATH_BYTES]; /* sent with LINK_OUT_DIR only */
};
#define LINK_SHORT_BYTES offsetof(struct link_message, out_dir)
#define LINK_FDS_MAX 3

/* ---- worker side ----------------------------------------------------------------------- */

static void tell(int link_fd, const struct link_message *what, size_t size, const int *fds, size_t fd_count)
{
	union {
		char bytes[CMSG_SPACE(LINK_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = {.bytes = {0}};
	struct iovec io = {.iov_base = (void *)(uintptr_t)what, .iov_len = size};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
	if (link_fd < 0)
		return;
	if (fd_count) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
	}
	/* One that is stopped is waited for once, not each time. */
	static bool is_silent;
	ssize_t sent;
	do
		sent = sendmsg(link_fd, &message, MSG_NOSIGNAL | (is_silent ? MSG_DONTWAIT : 0));
	while (sent < 0 && errno == EINTR);
	is_silent = sent < 0 && errno == EAGAIN;
}

void supervisor_tell_peer(int link_fd, uint32_t peer, int fd)
{
	struct link_message message = {.kind = LINK_PEER, .peer = peer};
	tell(link_fd, &message, LINK_SHORT_BYTES, &fd, 1);
}

void supervisor_tell_peer_served(int link_fd, uint32_t peer)
{
	struct link_message message = {.kind = LINK_PEER_SERVED, .peer = peer};
	tell(link_fd, &message, LINK_SHORT_BYTES, NULL, 0);
}

void supervisor_tell_peer_kept(int link_fd, int fd)
{
	struct link_message message = {.kind = LINK_PEER_KEPT};
	tell(link_fd, &message, LINK_SHORT_BYTES, &fd, 1);
}

void supervisor_tell_registered(int link_fd, const struct client_handle *handle)
{
	struct link_message message = {
		.kind = LINK_REGISTERED,
		.id = handle->id,
		.peer = handle->peer,
		.is_first = handle->is_first,
		.is_again = handle->is_again,
		.pid = handle->pid,
		.peer_pid = handle->peer_pid,
		.has_pidfd = handle->pidfd >= 0,
		.has_root = handle->root_fd >= 0,
	};
	int fds[LINK_FDS_MAX] = {handle->segment_fd};
	size_t count = 1;
	if (message.has_pidfd)
		fds[count++] = handle->pidfd;
	if (message.has_root)
		fds[count++] = handle->root_fd;
	tell(link_fd, &message, LINK_SHORT_BYTES, fds, count);
}

void supervisor_tell_finished(int link_fd, uint32_t id)
{
	struct link_message message = {.kind = LINK_FINISHED, .id = id};
	tell(link_fd, &message, LINK_SHORT_BYTES, NULL, 0);
}

void supervisor_tell_out_dir(int link_fd, const char *path)
{
	struct link_message message = {.kind = LINK_OUT_DIR};
	strncpy(message.out_dir, path, sizeof message.out_dir - 1);
	tell(link_fd, &message, sizeof message, NULL, 0);
}

void supervisor_tell_first_ended(int link_fd)
{
	struct link_message message = {.kind = LINK_FIRST_ENDED};
	tell(link_fd, &message, LINK_SHORT_BYTES, NULL, 0);
}

/* ---- supervisor side --------------------------------------------------------------------- */

static void forget_peer(struct inheritance *kept, size_t at)
{
	close(kept->peers[at].fd);
	kept->peer_count--;
	memmove(&kept->peers[at], &kept->peers[at + 1], (kept->peer_count - at) * sizeof kept->peers[0]);
}

static void release_peer(struct inheritance *kept, uint32_t peer)
{
	for (size_t i = 0; i < kept->peer_count; i++)
		if (kept->peers[i].peer == peer) {
			forget_peer(kept, i);
			return;
		}
}

static void keep_peer(struct inheritance *kept, uint32_t peer, int fd)
{
	/* More than a worker hears at once: it could not tell us of their ends. */
	if (kept->peer_count == INHERITED_PEERS_MAX)
		forget_peer(kept, 0);
	kept->peers[kept->peer_count++] = (struct inherited_peer){.fd = fd, .peer = peer};
	kept->next_peer = peer + 1;
}

/* Of a worker that is gone: what it had told us of is here already. */
static void keep_rest(struct inheritance *kept, int fd)
{
	struct stat told, rest;
	bool is_told = fstat(fd, &rest) != 0;
	for (size_t i = 0; !is_told && i < kept->peer_count; i++)
		is_told = fstat(kept->peers[i].fd, &told) == 0 && told.st_ino == rest.st_ino;
	if (is_told)
		close(fd);
	else
		keep_peer(kept, kept->next_peer, fd);
}

static void keep(struct inheritance *kept, const struct link_message *message, int *fds, size_t fd_count)
{
	size_t wanted = 1 + (message->has_pidfd != 0) + (message->has_root != 0);
	struct client_handle *grown = NULL;
	if (fd_count == wanted)
		grown = realloc(kept->handles, (kept->handle_count + 1) * sizeof *grown);
	if (!grown) {
		log_warn("process %u would be lost with this collector: %s", message->pid,
			 fd_count == wanted ? "no memory" : "no descriptors");
		for (size_t i = 0; i < fd_count; i++)
			close(fds[i]);
		return;
	}
	size_t next = 1;
	kept->handles = grown;
	struct client_handle *handle = &grown[kept->handle_count++];
	*handle = (struct client_handle){
		.id = message->id,
		.is_first = message->is_first,
		.is_again = message->is_again,
		.pid = message->pid,
		.peer_pid = message->peer_pid,
		.segment_fd = fds[0],
	};
	handle->pidfd = message->has_pidfd ? fds[next++] : -1;
	handle->root_fd = message->has_root ? fds[next++] : -1;
	kept->next_id = message->id + 1;
	kept->has_started = true;
}

static void release(struct inheritance *kept, uint32_t id)
{
	for (size_t i = 0; i < kept->handle_count; i++) {
		if (kept->handles[i].id != id)
			continue;
		client_handle_close(&kept->handles[i]);
		kept->handle_count--;
		memmove(&kept->handles[i], &kept->handles[i + 1],
			(kept->handle_count - i) * sizeof kept->handles[0]);
		return;
	}
}

/* Handles one message.  False: the worker's end is closed. */
static bool listen_once(int link_fd, struct inheritance *kept)
{
	static struct link_message received; /* too large for a stack; one thread */
	union {
		char bytes[CMSG_SPACE(LINK_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec io = {.iov_base = &received, .iov_len = sizeof received};
	struct msghdr message = {.msg_iov = &io,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof control};
	ssize_t size = recvmsg(link_fd, &message, MSG_CMSG_CLOEXEC);
	if (size < 0 && errno == EINTR)
		return true;
	if (size < (ssize_t)LINK_SHORT_BYTES)
		return false;
	int fds[LINK_FDS_MAX];
	size_t fd_count = 0;
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
		fd_count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(rights), fd_count * sizeof(int));
	}
	if (received.kind == LINK_PEER && fd_count == 1)
		keep_peer(kept, received.peer, fds[0]);
	else if (received.kind == LINK_PEER_KEPT && fd_count == 1)
		keep_rest(kept, fds[0]);
	else if (received.kind == LINK_PEER_SERVED)
		release_peer(kept, received.peer);
	else if (received.kind == LINK_REGISTERED) {
		keep(kept, &received, fds, fd_count);
		release_peer(kept, received.peer);
	} else if (received.kind == LINK_FINISHED)
		release(kept, received.id);
	else if (received.kind == LINK_OUT_DIR && size == (ssize_t)sizeof received)
		memcpy(kept->out_dir, received.out_dir, sizeof kept->out_dir);
	else if (received.kind == LINK_FIRST_ENDED)
		log_close(); /* our copy would keep a reader of the program's output waiting */
	return true;
}

static bool has_message(int link_fd)
{
	struct pollfd link = {.fd = link_fd, .events = POLLIN};
	return poll(&link, 1, 0) != 0;
}

/* Waits for the worker's end.  Returns whether it had done all its work. */
static bool supervise(int link_fd, pid_t worker, struct inheritance *kept)
{
	int status = 0;
	const struct timespec rest = {.tv_nsec = LINK_REST_NS};
	while (listen_once(link_fd, kept))
		if (!has_message(link_fd))
			nanosleep(&rest, NULL);
	while (waitpid(worker, &status, 0) < 0 && errno == EINTR)
		;
	/* Its children. */
	while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	log_warn("the collector ended unexpectedly (%s %d): another one takes over",
		 WIFSIGNALED(status) ? "signal" : "status",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return false;
}

static time_t monotonic_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* Whether another start is allowed now; remembers it if so. */
static bool may_start(time_t starts[RESTARTS_MAX], unsigned *start_count)
{
	time_t now = monotonic_s();
	time_t *oldest = &starts[*start_count % RESTARTS_MAX];
	if (*start_count >= RESTARTS_MAX && now - *oldest < RESTARTS_WINDOW_S)
		return false;
	*oldest = now;
	++*start_count;
	return true;
}

int supervisor_run(int (*work)(const struct inheritance *inheritance, void *argument), void *argument,
		   bool *out_is_worker)
{
	static struct inheritance kept; /* large, and there is one */
	const struct timespec pause = {.tv_sec = RESTART_PAUSE_S};
	const struct timeval patience = {.tv_sec = LINK_PATIENCE_S};
	time_t starts[RESTARTS_MAX];
	unsigned start_count = 0;
	*out_is_worker = false;
	kept = (struct inheritance){.next_id = 1};
	/* The children of a worker that is gone are ours, not those of a program that reaps. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	while (may_start(starts, &start_count)) {
		int link[2] = {-1, -1};
		bool has_link = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) == 0;
		pid_t worker = has_link ? fork() : -1;
		if (worker <= 0) {
			/* The worker; without a link or a second process, this process does the work alone. */
			if (has_link)
				close(link[0]);
			if (has_link && worker < 0)
				close(link[1]);
			kept.link_fd = worker == 0 ? link[1] : -1;
			if (worker == 0) {
				/* A stopped supervisor must not stop the worker. */
				setsockopt(link[1], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
				keeper_start(link[1]);
			}
			/* Of the process: a later worker has inherited the supervisor's. */
			prctl(PR_SET_NAME, "cprof-collector");
			*out_is_worker = true;
			int result = work(&kept, argument);
			keeper_stop();
			return result;
		}
		close(link[1]);
		prctl(PR_SET_NAME, "cprof-supervise");
		bool is_done = supervise(link[0], worker, &kept);
		close(link[0]);
		if (is_done)
			return 0;
		nanosleep(&pause, NULL);
	}
	log_error("the collector ended %d times within an hour: the profiles of this run are lost",
		  RESTARTS_MAX);
	return 1;
}
