/* SPDX-License-Identifier: MIT */
/*
 * What may come over the collector's socket: registrations and commands, with a descriptor or
 * without.  The first byte says which token it bears and what descriptors there are.
 *
 * Context: test program.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "command_serve.h"
#include "fuzz.h"
#include "registration.h"

static void send_message(int fd, const uint8_t *bytes, size_t size, int descriptors)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int fds[3] = {null, null, null};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof fds)];
	} control = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec io = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
	if (descriptors) {
		control.header.cmsg_len = CMSG_LEN((size_t)descriptors * sizeof fds[0]);
		memcpy(CMSG_DATA(&control.header), fds, (size_t)descriptors * sizeof fds[0]);
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE((size_t)descriptors * sizeof fds[0]);
	}
	(void)sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(null);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct commands commands;
	static struct registration registration;
	struct session session = {.root_pid = 4711};
	struct client_handle handle;
	struct command_peer *peer;
	int ends[2];
	if (size == 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
		return 0;
	commands_init(&commands);
	registration_init(&registration, -1, &session, &commands);
	uint8_t first = *data++;
	size--;
	if (first & 1 && size >= offsetof(struct cprof_hello, token) + sizeof session.token)
		memcpy(registration.session.token, data + offsetof(struct cprof_hello, token),
		       sizeof session.token);
	send_message(ends[1], data, size, first >> 1 & 3);
	registration_adopt(&registration, ends[0], 1, 0);
	if (registration_next(&registration, 0, &handle) == 1)
		client_handle_close(&handle);
	while ((peer = commands_next(&commands, COMMAND_IS_NEW)))
		command_check(peer, NULL);
	while ((peer = commands_next(&commands, COMMAND_IS_QUICK)) ||
	       (peer = commands_next(&commands, COMMAND_IS_LONG)))
		command_serve(peer, NULL, NULL, NULL);
	commands_send(&commands, 0);
	commands_close(&commands);
	/* Whoever has said nothing is sent away. */
	fuzz_demand(registration_next(&registration, 2 * REGISTRATION_PATIENCE_MS, &handle) == 0);
	fuzz_demand(registration.pending_count == 0);
	close(ends[1]);
	return 0;
}
