/* SPDX-License-Identifier: MIT */
/*
 * Who gets in: sessions, hellos, descriptors, and peers that stay silent.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "fake_segment.h"
#include "log.h"
#include "registration.h"

static struct fake_session fake_session;
static struct registration registration;
static struct fake_segment segment;
static struct client_handle handle;

static void open_door(void)
{
	struct session session;
	fake_session_create(&fake_session);
	cr_assert_eq(session_parse(fake_session.text, &session), 0);
	registration_init(&registration, fake_session.listen_fd, &session, NULL);
	fake_segment_create(&segment, CPROF_SEGMENT_BYTES_MIN);
}

static int connect_to_door(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int n = sprintf(address.sun_path + 1, "%s%s", CPROF_SOCKET_PREFIX, fake_session.name);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, size), 0);
	return fd;
}

static struct cprof_hello good_hello(void)
{
	struct cprof_hello hello = {
		.magic = CPROF_MAGIC, .version = CPROF_SHM_VERSION, .pid = (uint32_t)getpid(), .is_first = 1};
	memcpy(hello.token, registration.session.token, sizeof hello.token);
	return hello;
}

static void say(int fd, const void *bytes, size_t size, const int *fds, size_t fd_count)
{
	union {
		char bytes[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control = {.bytes = {0}};
	struct iovec io = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
	if (fd_count) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
	}
	cr_assert_eq(sendmsg(fd, &message, MSG_NOSIGNAL), (ssize_t)size);
}

/* Whether such a message gets in.  Descriptors must not pile up either way. */
static bool gets_in(const void *bytes, size_t size, const int *fds, size_t fd_count)
{
	int before = dup(0);
	close(before);
	int fd = connect_to_door();
	say(fd, bytes, size, fds, fd_count);
	close(fd);
	int got = registration_next(&registration, 0, &handle);
	cr_assert_geq(got, 0);
	if (got)
		client_handle_close(&handle);
	int after = dup(0);
	close(after);
	cr_expect_eq(before, after, "a descriptor was left open");
	return got;
}

Test(registration, parses_sessions)
{
	struct session session;
	const char *good = "0123456789abcdef0123456789abcdef:00ff0000000000000000000000000001:1234";
	cr_assert_eq(session_parse(good, &session), 0);
	cr_expect_eq(session.token[1], 0xff);
	cr_expect_eq(session.token[15], 1);
	cr_expect_eq(session.root_pid, 1234);
	const char *bad[] = {NULL,
			     "",
			     ":",
			     "0123456789abcdef0123456789abcdef:00ff0000000000000000000000000001",
			     "0123456789abcdef0123456789abcdef:00ff0000000000000000000000000001:",
			     "0123456789abcdef0123456789abcdef:00ff0000000000000000000000000001:x",
			     "0123456789abcdef0123456789abcdef:00ff0000000000000000000000000001:0",
			     "0123456789abcdef0123456789abcdef:00ff0000000000000000000000000001:-5",
			     "0123456789abcdef0123456789abcdef:00ff0000000000000000000000000001:99999999999",
			     "0123456789abcdef0123456789abcdef:00ff000000000000000000000000000g:1",
			     "0123456789abcdef0123456789abcdef:00FF0000000000000000000000000001:1",
			     "0123456789abcdef0123456789abcdef.00ff0000000000000000000000000001:1"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_expect_eq(session_parse(bad[i], &session), -EINVAL, "case %zu", i);
}

Test(registration, takes_a_segment_and_a_pidfd)
{
	open_door();
	cr_expect_eq(registration_next(&registration, 0, &handle), 0);
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	fake_register(&fake_session, &segment, pidfd);
	cr_assert_eq(registration_next(&registration, 0, &handle), 1);
	cr_expect_eq(handle.peer_pid, getpid());
	cr_expect_eq(handle.pid, (uint32_t)getpid());
	cr_expect(handle.is_first);
	cr_expect_geq(handle.pidfd, 0);
	cr_expect_geq(handle.root_fd, 0);
	cr_expect(fcntl(handle.segment_fd, F_GETFD) & FD_CLOEXEC);
	client_handle_close(&handle);
	cr_expect_eq(registration_next(&registration, 0, &handle), 0);
}

Test(registration, opens_a_pidfd_itself_when_it_gets_none_or_a_false_one)
{
	open_door();
	struct cprof_hello hello = good_hello();
	const int false_ones[] = {-1, segment.fd, (int)syscall(SYS_pidfd_open, 1, 0)};
	for (size_t i = 0; i < sizeof false_ones / sizeof false_ones[0]; i++) {
		char info[64];
		char text[512] = "";
		const int fds[] = {segment.fd, false_ones[i]};
		int fd = connect_to_door();
		say(fd, &hello, sizeof hello, fds, false_ones[i] < 0 ? 1 : 2);
		close(fd);
		cr_assert_eq(registration_next(&registration, 0, &handle), 1);
		snprintf(info, sizeof info, "/proc/self/fdinfo/%d", handle.pidfd);
		int info_fd = open(info, O_RDONLY | O_CLOEXEC);
		cr_assert_gt(read(info_fd, text, sizeof text - 1), 0);
		close(info_fd);
		snprintf(info, sizeof info, "\nPid:\t%d\n", getpid());
		cr_expect(strstr(text, info), "case %zu: %s", i, text);
		client_handle_close(&handle);
	}
}

Test(registration, lets_only_exact_messages_in)
{
	open_door();
	unsigned char longer[sizeof(struct cprof_hello) + 8] = {0};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int fds[] = {segment.fd, null, null};
	struct cprof_hello hello = good_hello();
	cr_expect(gets_in(&hello, sizeof hello, fds, 1));
	cr_expect_not(gets_in(&hello, sizeof hello, fds, 0));
	cr_expect_not(gets_in(&hello, sizeof hello, fds, 3));
	cr_expect_not(gets_in(&hello, sizeof hello - 1, fds, 1));
	cr_expect_not(gets_in(&hello, 1, fds, 1));
	memcpy(longer, &hello, sizeof hello);
	cr_expect_not(gets_in(longer, sizeof longer, fds, 1));
	hello.version++;
	cr_expect_not(gets_in(&hello, sizeof hello, fds, 1));
	hello = good_hello();
	hello.magic++;
	cr_expect_not(gets_in(&hello, sizeof hello, fds, 1));
	for (size_t i = 0; i < CPROF_TOKEN_BYTES; i++) {
		hello = good_hello();
		hello.token[i] ^= 1;
		cr_expect_not(gets_in(&hello, sizeof hello, fds, 1));
	}
	hello = good_hello();
	cr_expect(gets_in(&hello, sizeof hello, fds, 1));
}

/* Everybody on the machine can connect; the log is the program's stderr. */
Test(registration, complains_of_its_own_only)
{
	int ends[2];
	char text[256] = "";
	open_door();
	cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	log_open(ends[1], LOG_LEVEL_WARN);
	struct cprof_hello hello = good_hello();
	hello.token[0] ^= 1;
	cr_expect(!gets_in(&hello, sizeof hello, &segment.fd, 1));
	hello.magic++;
	cr_expect(!gets_in(&hello, sizeof hello, &segment.fd, 1));
	cr_expect(!gets_in("hello", 5, NULL, 0));
	cr_expect_eq(read(ends[0], text, sizeof text - 1), -1, "strangers make it say: %s", text);
	hello = good_hello();
	hello.version++;
	cr_expect(!gets_in(&hello, sizeof hello, &segment.fd, 1));
	cr_expect_gt(read(ends[0], text, sizeof text - 1), 0);
	cr_expect(strstr(text, "it uses another version of libcprof.so than this collector"), "%s", text);
}

Test(registration, believes_first_only_of_the_root_pid)
{
	open_door();
	registration.session.root_pid = (uint32_t)getpid() + 1;
	fake_register(&fake_session, &segment, -1);
	cr_assert_eq(registration_next(&registration, 0, &handle), 1);
	cr_expect_not(handle.is_first);
}

Test(registration, waits_a_second_for_a_peer_and_serves_others_meanwhile)
{
	open_door();
	int silent = connect_to_door();
	int slow = connect_to_door();
	cr_expect_eq(registration_next(&registration, 0, &handle), 0);
	cr_expect_eq(registration.pending_count, 2);
	fake_register(&fake_session, &segment, -1);
	cr_assert_eq(registration_next(&registration, 10, &handle), 1);
	client_handle_close(&handle);
	struct cprof_hello hello = good_hello();
	say(slow, &hello, sizeof hello, &segment.fd, 1);
	cr_assert_eq(registration_next(&registration, REGISTRATION_PATIENCE_MS - 1, &handle), 1);
	client_handle_close(&handle);
	cr_expect_eq(registration.pending_count, 1);
	cr_expect_eq(registration_next(&registration, REGISTRATION_PATIENCE_MS, &handle), 0);
	cr_expect_eq(registration.pending_count, 0);
	char byte;
	cr_expect_eq(read(silent, &byte, 1), 0); /* the door was closed */
}

Test(registration, makes_room_for_new_peers_when_many_are_silent)
{
	open_door();
	for (int i = 0; i < REGISTRATION_PENDING_MAX + 10; i++) {
		connect_to_door();
		cr_assert_eq(registration_next(&registration, 0, &handle), 0);
	}
	cr_expect_eq(registration.pending_count, REGISTRATION_PENDING_MAX);
	fake_register(&fake_session, &segment, -1);
	cr_expect_eq(registration_next(&registration, 0, &handle), 1);
}

Test(registration, serves_those_in_the_queue_of_a_closed_door)
{
	open_door();
	fake_register(&fake_session, &segment, -1);
	registration_shut(&registration);
	struct pollfd fds[REGISTRATION_PENDING_MAX + 1];
	cr_expect_eq(registration_next(&registration, 0, &handle), 1);
	cr_expect_eq(registration_next(&registration, 0, &handle), 0);
	registration_shut(&registration);
	cr_expect_eq(registration_next(&registration, 0, &handle), 0);
	cr_expect_eq(registration_poll_fds(&registration, 0, fds), 1);
	cr_expect_eq(fds[0].fd, -1);
}

static bool is_nothing;
static unsigned asked;

static bool answer_is_nothing(void *argument, const struct client_handle *asked_of)
{
	cr_expect_eq(argument, &asked);
	cr_expect_geq(asked_of->segment_fd, 0);
	asked++;
	return is_nothing;
}

Test(registration, passes_over_who_left_nothing)
{
	open_door();
	registration.is_nothing = answer_is_nothing;
	registration.is_nothing_argument = &asked;
	struct cprof_hello hello = good_hello();
	const int fds[] = {segment.fd, (int)syscall(SYS_pidfd_open, getpid(), 0)};
	is_nothing = true;
	cr_expect_not(gets_in(&hello, sizeof hello, fds, 2));
	cr_expect_eq(asked, 1);
	hello.token[0] ^= 1;
	cr_expect_not(gets_in(&hello, sizeof hello, fds, 2));
	cr_expect_eq(asked, 1, "a stranger's descriptors are not looked at");
	hello.token[0] ^= 1;
	is_nothing = false;
	cr_expect(gets_in(&hello, sizeof hello, fds, 2));
	cr_expect_eq(asked, 2);
}
