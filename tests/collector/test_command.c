/* SPDX-License-Identifier: MIT */
/*
 * Peers with commands: who is heard, what each is told, and that none of them costs the
 * collector time.  Peers come through the front door or are one end of a socket pair.
 *
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command_serve.h"
#include "fake_segment.h"
#include "process_info.h"

#define OTHER_UID 4242

static struct commands commands;

struct message {
	struct cprof_answer answer;
	char bytes[CPROF_ANSWER_BYTES_MAX + 1];
};

static void start(void)
{
	commands_init(&commands);
}

TestSuite(command, .init = start, .timeout = 60);

static struct cprof_command good_command(enum cprof_command_what what)
{
	return (struct cprof_command){
		.magic = CPROF_COMMAND_MAGIC, .version = CPROF_SHM_VERSION, .what = what};
}

/* Hands a message over as if uid had sent it.  The peer's end, or -1 if it was no command. */
static int send_as(uid_t uid, const void *bytes, size_t size)
{
	int ends[2];
	const struct ucred sender = {.pid = getpid(), .uid = uid};
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	if (commands_is_one(bytes, size)) {
		commands_take(&commands, ends[0], bytes, size, -1, &sender);
		return ends[1];
	}
	close(ends[0]);
	close(ends[1]);
	return -1;
}

static int send_command(enum cprof_command_what what)
{
	struct cprof_command command = good_command(what);
	int fd = send_as(geteuid(), &command, sizeof command);
	cr_assert_geq(fd, 0);
	return fd;
}

/* A snapshot's peer whose turn has come. */
static struct command_peer *next_long(void)
{
	cr_assert_not_null(commands_next(&commands, COMMAND_IS_NEW));
	return commands_next(&commands, COMMAND_IS_LONG);
}

/* The next answer.  False: there is none, and there will be none. */
static bool next_answer(int fd, struct message *out_message)
{
	memset(out_message, 0, sizeof *out_message);
	ssize_t size = recv(fd, out_message, sizeof *out_message - 1, MSG_DONTWAIT);
	cr_assert(size >= 0 || errno != EAGAIN, "nothing was said");
	if (size <= 0)
		return false;
	cr_assert_eq((size_t)size, sizeof(struct cprof_answer) + out_message->answer.bytes);
	cr_assert_eq(out_message->answer.magic, CPROF_COMMAND_MAGIC);
	return true;
}

static void expect_refused(int fd, int error, const char *words)
{
	struct message message;
	cr_assert(next_answer(fd, &message));
	cr_expect_eq(message.answer.what, CPROF_ANSWER_END);
	cr_expect_eq(message.answer.error, error, "%d: %s", message.answer.error, message.bytes);
	cr_expect(strstr(message.bytes, words), "%s", message.bytes);
	cr_expect_not(next_answer(fd, &message));
	close(fd);
}

static size_t open_fds(void)
{
	int lowest = dup(0);
	close(lowest);
	return (size_t)lowest;
}

/* ---- who is heard ------------------------------------------------------------------------- */

Test(command, garbage_is_no_command)
{
	struct cprof_command command = good_command(CPROF_COMMAND_LIST);
	cr_expect_eq(send_as(geteuid(), &command, 8), -1);
	command.magic++;
	cr_expect_eq(send_as(geteuid(), &command, sizeof command), -1);
	cr_expect(commands_are_done(&commands));
}

Test(command, another_version_or_shape_is_told_so)
{
	struct cprof_command command = good_command(CPROF_COMMAND_LIST);
	command.version++;
	expect_refused(send_as(geteuid(), &command, sizeof command), -EPROTO, "another version");
	command = good_command(CPROF_COMMAND_LIST);
	expect_refused(send_as(geteuid(), &command, sizeof command - 8), -EPROTO, "does not understand");
	command.what = CPROF_COMMAND_TOP + 1;
	expect_refused(send_as(geteuid(), &command, sizeof command), -EPROTO, "does not understand");
	cr_expect(commands_are_done(&commands));
}

Test(command, strangers_are_turned_away_whatever_they_say)
{
	struct cprof_command command = good_command(CPROF_COMMAND_LIST);
	expect_refused(send_as(OTHER_UID, &command, sizeof command), -EPERM, "another user");
	command.version++;
	expect_refused(send_as(OTHER_UID, &command, sizeof command), -EPERM, "another user");
	expect_refused(send_as((uid_t)-1, &command, sizeof command), -EPERM, "another user");
	cr_expect(commands_are_done(&commands));
}

Test(command, one_too_many_is_told_to_try_again)
{
	int fds[COMMANDS_MAX];
	struct cprof_command command = good_command(CPROF_COMMAND_LIST);
	for (size_t i = 0; i < COMMANDS_MAX; i++)
		fds[i] = send_command(CPROF_COMMAND_LIST);
	expect_refused(send_as(geteuid(), &command, sizeof command), -EBUSY, "try again");
	command_end(commands_next(&commands, COMMAND_IS_QUICK), 0, "%s", "");
	commands_send(&commands, 1);
	close(send_command(CPROF_COMMAND_LIST));
	for (size_t i = 0; i < COMMANDS_MAX; i++)
		close(fds[i]);
}

/* ---- what they are told --------------------------------------------------------------------- */

Test(command, quick_and_long_ones_are_served_apart_and_each_once)
{
	close(send_command(CPROF_COMMAND_SNAPSHOT));
	cr_expect_null(commands_next(&commands, COMMAND_IS_QUICK));
	cr_expect_null(commands_next(&commands, COMMAND_IS_LONG), "not before it was checked");
	close(send_command(CPROF_COMMAND_SET));
	struct command_peer *quick = commands_next(&commands, COMMAND_IS_QUICK);
	cr_expect_not_null(commands_next(&commands, COMMAND_IS_NEW));
	cr_expect_null(commands_next(&commands, COMMAND_IS_NEW));
	struct command_peer *slow = commands_next(&commands, COMMAND_IS_LONG);
	cr_assert(quick && slow && quick != slow);
	cr_expect_null(commands_next(&commands, COMMAND_IS_QUICK));
	cr_expect_null(commands_next(&commands, COMMAND_IS_LONG));
}

Test(command, answers_arrive_in_order_and_the_end_is_last)
{
	struct message message;
	char text[3 * CPROF_ANSWER_BYTES_MAX / 2];
	memset(text, 'x', sizeof text);
	int fd = send_command(CPROF_COMMAND_SNAPSHOT);
	struct command_peer *peer = next_long();
	command_answer(peer, CPROF_ANSWER_FILE, "/a", 2);
	command_answer_text(peer, text, sizeof text);
	commands_send(&commands, 1);
	cr_expect_eq(recv(fd, &message, sizeof message, MSG_DONTWAIT), -1, "not before it is complete");
	command_end(peer, -ENOTSUP, "%s", "no");
	commands_send(&commands, 1);
	cr_assert(next_answer(fd, &message));
	cr_expect_eq(message.answer.what, CPROF_ANSWER_FILE);
	cr_expect_str_eq(message.bytes, "/a");
	cr_assert(next_answer(fd, &message));
	cr_expect_eq(message.answer.bytes, CPROF_ANSWER_BYTES_MAX);
	cr_assert(next_answer(fd, &message));
	cr_expect_eq(message.answer.bytes, sizeof text - CPROF_ANSWER_BYTES_MAX);
	expect_refused(fd, -ENOTSUP, "no");
	cr_expect(commands_are_done(&commands));
}

/* Queues more than a socket holds. */
static void answer_much(struct command_peer *peer)
{
	static const char text[1 << 20];
	for (int i = 0; i < 8; i++)
		command_answer_text(peer, text, sizeof text);
	command_end(peer, 0, "%s", "");
}

Test(command, a_peer_that_takes_its_time_gets_all_of_it)
{
	struct message message;
	size_t got = 0;
	int fd = send_command(CPROF_COMMAND_SNAPSHOT);
	answer_much(next_long());
	int64_t now = 1;
	do {
		struct pollfd fds[COMMANDS_MAX];
		commands_send(&commands, now);
		now += COMMAND_PATIENCE_MS - 1;
		cr_assert(commands_are_done(&commands) || commands_poll_fds(&commands, fds) == 1);
		cr_assert(next_answer(fd, &message));
		got += message.answer.what == CPROF_ANSWER_TEXT ? message.answer.bytes : 0;
	} while (message.answer.what != CPROF_ANSWER_END);
	cr_expect_eq(got, 8 << 20);
	cr_expect(commands_are_done(&commands));
}

Test(command, a_peer_that_reads_nothing_keeps_nobody_waiting)
{
	size_t before = open_fds();
	int silent = send_command(CPROF_COMMAND_SNAPSHOT);
	answer_much(next_long());
	commands_send(&commands, 1);
	int other = send_command(CPROF_COMMAND_LIST);
	command_end(commands_next(&commands, COMMAND_IS_QUICK), 0, "%s", "");
	commands_send(&commands, 2);
	expect_refused(other, 0, "");
	commands_send(&commands, COMMAND_PATIENCE_MS);
	cr_expect_not(commands_are_done(&commands));
	commands_send(&commands, COMMAND_PATIENCE_MS + 1);
	cr_expect(commands_are_done(&commands));
	close(silent);
	cr_expect_eq(open_fds(), before);
}

Test(command, a_peer_that_goes_away_is_forgotten)
{
	size_t before = open_fds();
	int fd = send_command(CPROF_COMMAND_SNAPSHOT);
	struct command_peer *peer = next_long();
	cr_expect_not(command_is_abandoned(peer));
	close(fd);
	cr_expect(command_is_abandoned(peer));
	commands_send(&commands, 1);
	cr_expect_not(commands_are_done(&commands), "whoever serves it still holds it");
	answer_much(peer);
	commands_send(&commands, 2);
	cr_expect(commands_are_done(&commands));
	cr_expect_eq(open_fds(), before);
}

Test(command, an_answer_without_bounds_ends_the_peer_not_the_collector)
{
	static const char text[1 << 20];
	int fd = send_command(CPROF_COMMAND_SNAPSHOT);
	struct command_peer *peer = next_long();
	for (size_t i = 0; i <= COMMAND_ANSWER_BYTES_MAX / sizeof text; i++)
		command_answer_text(peer, text, sizeof text);
	command_end(peer, 0, "%s", "");
	cr_expect_leq(peer->end - peer->begin, COMMAND_ANSWER_BYTES_MAX);
	commands_send(&commands, 1);
	cr_expect(commands_are_done(&commands));
	close(fd);
}

/* ---- what they are about -------------------------------------------------------------------- */

static struct fake_session session;
static struct registration registration;
static struct fake_segment segment;
static struct writer_dir dir = {.fd = -1};

/* A client whose process we are. */
static struct client *open_client(void)
{
	struct client_handle handle;
	struct session parsed;
	fake_session_create(&session);
	cr_assert_eq(session_parse(session.text, &parsed), 0);
	registration_init(&registration, session.listen_fd, &parsed, &commands);
	fake_segment_create(&segment, CPROF_SEGMENT_BYTES_MIN);
	fake_control(&segment)->cpu_hz_at_start = 100;
	fake_register(&session, &segment, -1);
	cr_assert_eq(registration_next(&registration, 0, &handle), 1);
	struct client *client = client_open(&handle, &dir);
	cr_assert_not_null(client);
	return client;
}

/* Connects and sends, as a tool does.  The connection. */
static int send_through_door(const struct cprof_command *command, int target_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int n = sprintf(address.sun_path + 1, "%s%s", CPROF_SOCKET_PREFIX, session.name);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)))
		return -1;
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {.bytes = {0}};
	struct iovec io = {.iov_base = (void *)(uintptr_t)command, .iov_len = sizeof *command};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
	if (target_fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof control.bytes;
		struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof target_fd);
		memcpy(CMSG_DATA(rights), &target_fd, sizeof target_fd);
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL) == sizeof *command ? fd : -1;
}

static void serve(struct client *clients)
{
	struct client_handle handle;
	struct command_peer *peer;
	cr_assert_eq(registration_next(&registration, 0, &handle), 0);
	while ((peer = commands_next(&commands, COMMAND_IS_QUICK)))
		command_serve(peer, clients, NULL, NULL);
	while ((peer = commands_next(&commands, COMMAND_IS_NEW)))
		command_check(peer, clients);
	commands_send(&commands, 1);
}

Test(command, the_front_door_tells_commands_from_registrations)
{
	size_t before = open_fds();
	struct client *client = open_client();
	struct cprof_command command = good_command(CPROF_COMMAND_LIST);
	size_t with_client = open_fds();
	int fd = send_through_door(&command, -1);
	serve(client);
	struct message message;
	struct cprof_process process;
	cr_assert(next_answer(fd, &message));
	cr_expect_eq(message.answer.what, CPROF_ANSWER_PROCESS);
	memcpy(&process, message.bytes, sizeof process);
	cr_expect_eq(process.pid, (uint32_t)getpid());
	cr_expect_eq(process.uid, geteuid());
	cr_expect_str_eq(process.name, "fake");
	cr_expect_eq(process.segment_bytes, CPROF_SEGMENT_BYTES_MIN);
	expect_refused(fd, 0, "");
	cr_expect_eq(open_fds(), with_client);
	cr_expect_gt(with_client, before);
	client_close(client);
}

Test(command, list_counts_what_is_in_the_totals_by_kind)
{
	struct client *client = open_client();
	struct ring_drained drained;
	uint32_t slot = fake_thread_start(&segment);
	uint32_t stack = fake_leaf(&segment, 0x10);
	for (int i = 0; i < 3000; i++) /* more than a ring holds */
		fake_record(&segment, slot, stack, CPROF_KIND_CPU, CPROF_WEIGHT_ONE, 1000);
	fake_record(&segment, slot, fake_leaf(&segment, 0x20), CPROF_KIND_BLOCK, 2 * CPROF_WEIGHT_ONE, 77);
	store_relaxed(&fake_control(&segment)->counters[CPROF_STACKS_BROKEN], 5);
	client_drain(client, &drained);
	struct cprof_process process;
	process_info_fill(client, &process);
	cr_expect_eq(process.weights[CPROF_KIND_CPU], 3000 * CPROF_WEIGHT_ONE);
	cr_expect_eq(process.values[CPROF_KIND_CPU], 3000000);
	cr_expect_eq(process.weights[CPROF_KIND_BLOCK], 2 * CPROF_WEIGHT_ONE);
	cr_expect_eq(process.values[CPROF_KIND_BLOCK], 77);
	cr_expect_eq(process.weights[CPROF_KIND_ALLOC], 0);
	cr_expect_eq(process.counters[CPROF_STACKS_BROKEN], 5);
	cr_expect_eq(process.thread_count, 1);
	client_close(client);
}

Test(command, the_target_is_who_its_pidfd_says)
{
	struct client *client = open_client();
	struct cprof_command command = good_command(CPROF_COMMAND_SET);
	command.rates = (struct cprof_rates){.which = CPROF_RATE_CPU_HZ, .cpu_hz = 33};
	command.pid = 1; /* as if from another pid namespace */
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	int fd = send_through_door(&command, self);
	serve(client);
	struct message message;
	cr_assert(next_answer(fd, &message));
	cr_expect_eq(message.answer.what, CPROF_ANSWER_PROCESS);
	expect_refused(fd, 0, "");
	cr_expect_eq(load_relaxed(&fake_control(&segment)->cpu_hz), 33);

	command.rates.cpu_hz = 44;
	command.pid = (uint32_t)getpid();
	int init = (int)syscall(SYS_pidfd_open, 1, 0);
	fd = send_through_door(&command, init);
	serve(client);
	expect_refused(fd, -ESRCH, "not profiled");
	fd = send_through_door(&command, segment.fd);
	serve(client);
	expect_refused(fd, -ESRCH, "not profiled");
	cr_expect_eq(load_relaxed(&fake_control(&segment)->cpu_hz), 33);

	fd = send_through_door(&command, -1);
	serve(client);
	cr_assert(next_answer(fd, &message));
	expect_refused(fd, 0, "");
	cr_expect_eq(load_relaxed(&fake_control(&segment)->cpu_hz), 44);
	client_close(client);
}

Test(command, a_snapshot_that_has_to_wait_is_told_so_or_refused_at_once)
{
	struct client *client = open_client();
	struct cprof_command command = good_command(CPROF_COMMAND_SNAPSHOT);
	struct message message;
	command.pid = (uint32_t)getpid();
	int fd = send_through_door(&command, -1);
	serve(client);
	cr_assert(next_answer(fd, &message));
	cr_expect_eq(message.answer.what, CPROF_ANSWER_WAIT);
	cr_expect_not(commands_are_done(&commands));
	command.pid = 1;
	int other = send_through_door(&command, -1);
	serve(client);
	expect_refused(other, -ESRCH, "not profiled");
	close(fd);
	client_close(client);
}

Test(command, an_ended_image_takes_no_commands)
{
	struct client *client = open_client();
	struct cprof_command command = good_command(CPROF_COMMAND_SET);
	command.rates = (struct cprof_rates){.which = CPROF_RATE_CPU_HZ, .cpu_hz = 33};
	command.pid = (uint32_t)getpid();
	client_end_by_death(client);
	int fd = send_through_door(&command, -1);
	serve(client);
	expect_refused(fd, -ESRCH, "not profiled");
	client_close(client);
}

/* Needs root, which may become anybody. */
Test(command, the_kernel_says_who_sends)
{
	struct client *client = open_client();
	if (geteuid() != 0)
		cr_skip_test("only root can be another user");
	pid_t child = fork();
	if (child == 0) {
		struct cprof_command command = good_command(CPROF_COMMAND_LIST);
		struct message message;
		if (setuid(OTHER_UID))
			_exit(2);
		int fd = send_through_door(&command, -1);
		if (recv(fd, &message, sizeof message, 0) < (ssize_t)sizeof message.answer)
			_exit(3);
		_exit(message.answer.error == -EPERM ? 0 : 4);
	}
	int status;
	while (waitpid(child, &status, WNOHANG) == 0)
		serve(client);
	cr_expect_eq(status, 0);
	client_close(client);
}

/* The tree is root's, and one of its processes was another user's when it made its segment. */
Test(command, root_commands_everybody_and_others_only_their_own)
{
	struct client *client = open_client();
	struct cprof_command command = good_command(CPROF_COMMAND_SET);
	command.rates = (struct cprof_rates){.which = CPROF_RATE_CPU_HZ, .cpu_hz = 33};
	command.pid = (uint32_t)getpid();
	if (geteuid() != 0)
		cr_skip_test("only root can give a segment away");
	cr_assert_eq(fchown(segment.fd, OTHER_UID, OTHER_UID), 0);
	struct command_peer peer = {.fd = -1, .target_fd = -1, .uid = OTHER_UID + 1, .command = command};
	command_serve(&peer, client, NULL, NULL);
	cr_expect_eq(load_relaxed(&fake_control(&segment)->cpu_hz), 100);
	peer.uid = 0;
	command_serve(&peer, client, NULL, NULL);
	cr_expect_eq(load_relaxed(&fake_control(&segment)->cpu_hz), 33);
	free(peer.bytes);
	client_close(client);
}
