/* SPDX-License-Identifier: MIT */
/*
 * The protocol is in include/cprof_wire.h.  Registering is a connect, one message and
 * close: the program has no descriptor of ours open afterwards.
 *
 * Context: any (async-signal-safe).
 */
#include "session.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "control.h"
#include "process.h"
#include "segment.h"
#include "sys.h"
#include "text.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

/* How often the wait for the final files looks whether the collector lives. */
#define EXIT_SLICE_NS (50 * NS_PER_MS)
/* A collector whose heartbeat stands still for this long is dead; one that has not begun may be slow. */
#define COLLECTOR_SILENCE_NS (3 * NS_PER_S)
#define COLLECTOR_START_NS (8 * NS_PER_S)
/* A collector beats four times in this. */
#define BEAT_PATIENCE_NS NS_PER_S

/* Written at load, and in a forked child never; read by all. */
struct session session;

static bool parse_hex(const char **at, uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < 2 * count; i++) {
		char c = **at;
		uint8_t digit;
		if (c >= '0' && c <= '9')
			digit = (uint8_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (uint8_t)(c - 'a' + 10);
		else
			return false;
		bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | digit);
		(*at)++;
	}
	return true;
}

bool session_parse(const char *value)
{
	struct session parsed = {.root_pid = 0};
	uint8_t name[CPROF_SESSION_HEX / 2] = {0};
	const char *at = value;
	if (!parse_hex(&at, name, sizeof name) || *at++ != ':' ||
	    !parse_hex(&at, parsed.token, sizeof parsed.token) || *at++ != ':')
		return false;
	for (; *at >= '0' && *at <= '9'; at++)
		parsed.root_pid = parsed.root_pid * 10 + (uint32_t)(*at - '0');
	if (*at)
		return false;
	memcpy(parsed.name, value, CPROF_SESSION_HEX);
	session = parsed;
	return true;
}

static void random_bytes(uint8_t *bytes, size_t count)
{
	if (sys_call3(SYS_getrandom, (long)bytes, (long)count, 0) == (long)count)
		return;
	/* Early boot without entropy: unguessable for nobody, but unique. */
	struct timespec now;
	(void)sys_call2(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now);
	uint64_t mixed = (uint64_t)now.tv_nsec ^ (uint64_t)sys_call0(SYS_getpid) << 40;
	for (size_t i = 0; i < count; i++)
		bytes[i] = (uint8_t)(mixed = cprof_mix64(mixed + i + 1));
}

void session_create(uint32_t pid)
{
	uint8_t name[CPROF_SESSION_HEX / 2];
	random_bytes(name, sizeof name);
	random_bytes(session.token, sizeof session.token);
	struct text hex;
	text_init(&hex, session.name, sizeof session.name);
	text_add_hex(&hex, name, sizeof name);
	session.root_pid = pid;
}

void session_format(char *bytes, uint64_t capacity)
{
	struct text text;
	text_init(&text, bytes, capacity);
	text_add(&text, CPROF_SESSION_ENV "=");
	text_add(&text, session.name);
	text_add(&text, ":");
	text_add_hex(&text, session.token, sizeof session.token);
	text_add(&text, ":");
	text_add_u64(&text, session.root_pid);
}

/* The session's abstract address; returns its length. */
static socklen_t address_of_session(struct sockaddr_un *out_address)
{
	*out_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	struct text path;
	text_init(&path, out_address->sun_path + 1, sizeof out_address->sun_path - 1);
	text_add(&path, CPROF_SOCKET_PREFIX);
	text_add(&path, session.name);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + path.length);
}

/* A socket that is not connected yet. */
static int open_socket(void)
{
	return (int)sys_call3(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int session_listen(void)
{
	struct sockaddr_un address;
	socklen_t length = address_of_session(&address);
	int fd = open_socket();
	if (fd < 0)
		return fd;
	long error = sys_call3(SYS_bind, fd, (long)&address, length);
	if (!sys_is_error(error))
		error = sys_call2(SYS_listen, fd, 4096);
	if (sys_is_error(error)) {
		(void)sys_call1(SYS_close, fd);
		return (int)error;
	}
	return fd;
}

/* Whom this process registered with, 0: not known; read by the same process's end. */
static int32_t registered_with;

/* Set by the program itself, before or after the process registered. */
static atomic_u32 is_tracer_programs;

void session_leave_tracer(void)
{
	store_relaxed(&is_tracer_programs, UINT32_C(1)); /* read by this process's own later calls */
}

/* Who called listen() last, as seen from here; 0: not visible.  False: not known. */
static bool peer_of(int fd, int32_t *out_pid)
{
	struct {
		int32_t pid;
		uint32_t uid, gid;
	} listener = {.pid = 0};
	socklen_t size = sizeof listener;
	if (sys_is_error(
		    sys_call5(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, (long)&listener, (long)&size)))
		return false;
	*out_pid = listener.pid;
	return true;
}

/*
 * Where Yama restricts who may look into a process (scope 1), the collector and its
 * descendants are declared as those who may: it reads the stacks for thread dumps.
 * Elsewhere the call fails, which is as good.
 */
static void note_collector(int fd)
{
	int32_t listener;
	/* One that has started a collector, not the collector: it did not come in time. */
	if (!peer_of(fd, &listener) || (uint32_t)listener == session.root_pid ||
	    listener == (int32_t)sys_call0(SYS_getpid))
		listener = 0;
	registered_with = listener;
	if (listener > 0 && !load_relaxed(&is_tracer_programs)) /* as above */
		(void)sys_call2(SYS_prctl, PR_SET_PTRACER, listener);
}

int session_register(int segment_fd, uint32_t pid, bool is_first, enum session_turn turn)
{
	struct sockaddr_un address;
	socklen_t length = address_of_session(&address);
	int fd = open_socket();
	if (fd < 0)
		return fd;
	long error = sys_call3(SYS_connect, fd, (long)&address, length);
	if (!sys_is_error(error)) {
		note_collector(fd);
		struct cprof_hello hello = {
			.magic = CPROF_MAGIC,
			.version = CPROF_SHM_VERSION,
			.pid = pid,
			.is_first = is_first,
			.is_again = turn == SESSION_AGAIN,
		};
		memcpy(hello.token, session.token, sizeof hello.token);
		int fds[2] = {segment_fd, (int)sys_call2(SYS_pidfd_open, sys_call0(SYS_getpid), 0)};
		int fd_count = fds[1] < 0 ? 1 : 2;
		union {
			struct cmsghdr header;
			char bytes[CMSG_SPACE(sizeof fds)];
		} control = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
		control.header.cmsg_len = CMSG_LEN((size_t)fd_count * sizeof fds[0]);
		memcpy(CMSG_DATA(&control.header), fds, (size_t)fd_count * sizeof fds[0]);
		struct iovec io = {.iov_base = &hello, .iov_len = sizeof hello};
		struct msghdr message = {
			.msg_iov = &io,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = CMSG_SPACE((size_t)fd_count * sizeof fds[0]),
		};
		error = sys_call3(SYS_sendmsg, fd, (long)&message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (fds[1] >= 0)
			(void)sys_call1(SYS_close, fds[1]);
	}
	(void)sys_call1(SYS_close, fd);
	return sys_is_error(error) ? (int)error : 0;
}

void session_ring_bell(void)
{
	atomic_u32 *bell = &segment_control()->bell;
	add_release(bell, UINT32_C(1)); /* after the request it announces */
	/* The collector looks by itself, a little later, when it cannot be woken. */
	if (process_may_call())
		(void)sys_call6(SYS_futex, (long)bell, FUTEX_WAKE, INT32_MAX, 0, 0, 0);
}

bool session_request_snapshot(void)
{
	if (!process_ensure_recording())
		return false;
	add_release(&segment_control()->snapshot_requested, UINT32_C(1)); /* before the bell */
	session_ring_bell();
	return true;
}

/* Set before the program moves, read by the same process's end. */
static atomic_u32 has_left_network;

void session_leave_network(void)
{
	store_relaxed(&has_left_network, UINT32_C(1)); /* as above */
}

bool session_has_left_network(void)
{
	return load_relaxed(&has_left_network); /* as above */
}

static bool is_beating(void)
{
	const struct cprof_control *control = segment_control();
	uint32_t beat = load_relaxed(&control->heartbeat); /* only its changing matters */
	for (uint64_t waited = 0; waited < BEAT_PATIENCE_NS; waited += EXIT_SLICE_NS) {
		struct timespec slice = {.tv_nsec = EXIT_SLICE_NS};
		(void)sys_call4(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&slice, 0);
		if (load_relaxed(&control->heartbeat) != beat) /* as above */
			return true;
	}
	return false;
}

bool session_has_listener(void)
{
	struct sockaddr_un address;
	socklen_t length = address_of_session(&address);
	int fd = open_socket();
	if (fd < 0)
		return true; /* there is nothing to be found out, or to be done about it */
	int32_t listener = registered_with;
	long error = sys_call3(SYS_connect, fd, (long)&address, length);
	if (!sys_is_error(error))
		(void)peer_of(fd, &listener);
	(void)sys_call1(SYS_close, fd);
	return error != -ECONNREFUSED && (registered_with == 0 || listener == registered_with);
}

bool session_is_served(void)
{
	return session_has_listener() || (session_has_left_network() && is_beating());
}

int session_finish(uint64_t wait_ns)
{
	struct cprof_control *control = segment_control();
	uint32_t wanted = add_release(&control->final_requested, UINT32_C(1)) + 1;
	session_ring_bell();
	uint64_t start = control_clock_ns(CLOCK_MONOTONIC);
	uint64_t alive_at = start;
	uint32_t heartbeat = load_relaxed(&control->heartbeat); /* only its changing matters */
	for (;;) {
		uint32_t done = load_acquire(&control->final_done); /* pairs with the collector's release */
		if ((int32_t)(done - wanted) >= 0)                  /* another thread may end too */
			return 0;
		uint64_t now = control_clock_ns(CLOCK_MONOTONIC);
		uint32_t beat = load_relaxed(&control->heartbeat); /* as above */
		if (beat != heartbeat) {
			heartbeat = beat;
			alive_at = now;
		}
		if (now - start >= wait_ns)
			return -ETIMEDOUT;
		if (now - alive_at >= (heartbeat ? COLLECTOR_SILENCE_NS : COLLECTOR_START_NS))
			return -ESRCH;
		struct timespec slice = {.tv_nsec = EXIT_SLICE_NS};
		(void)sys_call6(SYS_futex, (long)&control->final_done, FUTEX_WAIT, done, (long)&slice, 0, 0);
	}
}
