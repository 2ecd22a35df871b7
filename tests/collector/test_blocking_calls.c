/* SPDX-License-Identifier: MIT */
/*
 * Which system calls may be interrupted for a moment.
 *
 * Context: tests.
 */
#include "blocking_calls.h"

#include <criterion/criterion.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static struct thread_call call_of(long number, uint64_t first, uint64_t second, uint64_t third,
				  uint64_t fourth)
{
	return (struct thread_call){.kind = THREAD_CALL_INSIDE,
				    .number = number,
				    .arguments = {first, second, third, fourth},
				    .sp = 0x1000};
}

static enum blocking_restart restart_of(long number, uint64_t first, uint64_t second, uint64_t third,
					uint64_t fourth)
{
	struct thread_call call = call_of(number, first, second, third, fourth);
	return blocking_calls_restart(&call);
}

Test(blocking_calls, has_names)
{
	cr_expect_str_eq(blocking_calls_name(SYS_futex), "futex");
	cr_expect_str_eq(blocking_calls_name(SYS_read), "read");
	cr_expect_null(blocking_calls_name(SYS_getpid));
	cr_expect_null(blocking_calls_name(-1));
	cr_expect_null(blocking_calls_name(INT64_MAX));
}

Test(blocking_calls, never_stops_those_that_end_with_EINTR)
{
	static const long numbers[] = {
		SYS_epoll_pwait, SYS_semtimedop, SYS_semop,  SYS_rt_sigtimedwait, SYS_io_getevents,
		SYS_connect,     SYS_write,      SYS_writev, SYS_sendto,          SYS_sendmsg,
		SYS_recvmmsg,    SYS_getpid,     100000};
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		cr_expect_eq(restart_of(numbers[i], 0, 0, 0, 0), BLOCKING_MAY_END, "%ld", numbers[i]);
}

Test(blocking_calls, looks_at_what_a_futex_call_does)
{
	cr_expect_eq(restart_of(SYS_futex, 0, FUTEX_WAIT_PRIVATE, 0, 0), BLOCKING_RESTARTS);
	cr_expect_eq(restart_of(SYS_futex, 0, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, 0),
		     BLOCKING_RESTARTS);
	cr_expect_eq(restart_of(SYS_futex, 0, FUTEX_LOCK_PI_PRIVATE, 0, 0), BLOCKING_RESTARTS);
	cr_expect_eq(restart_of(SYS_futex, 0, FUTEX_WAIT_REQUEUE_PI, 0, 0), BLOCKING_MAY_END);
}

Test(blocking_calls, looks_where_the_time_is)
{
	cr_expect_eq(restart_of(SYS_ppoll, 0, 0, 0, 0), BLOCKING_RESTARTS);
	cr_expect_eq(restart_of(SYS_ppoll, 0, 0, 0x1010, 0), BLOCKING_RESTARTS, "on the stack");
	cr_expect_eq(restart_of(SYS_ppoll, 0, 0, 0x900000, 0), BLOCKING_MAY_END, "perhaps read-only");
}

Test(blocking_calls, has_no_opinion_on_a_thread_that_runs)
{
	struct thread_call call = call_of(SYS_poll, 0, 0, 0, 0);
	call.kind = THREAD_CALL_RUNNING;
	cr_expect_eq(blocking_calls_restart(&call), BLOCKING_MAY_END);
	call.kind = THREAD_CALL_NONE;
	cr_expect_eq(blocking_calls_restart(&call), BLOCKING_MAY_END);
}

static bool may_stop_reader_of(int fd)
{
	struct thread_call call = call_of(SYS_read, (uint64_t)fd, 0, 0, 0);
	return blocking_calls_restarts(getpid(), &call);
}

Test(blocking_calls, looks_at_what_is_read)
{
	int pipe_fds[2];
	int sockets[2];
	struct timeval limit = {.tv_sec = 5};
	int low_water = 100;
	cr_assert(!pipe(pipe_fds) && !socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	cr_expect(may_stop_reader_of(pipe_fds[0]));
	cr_expect(may_stop_reader_of(eventfd(0, 0)));
	cr_expect(may_stop_reader_of(sockets[0]));
	cr_assert(!setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
	cr_expect(!may_stop_reader_of(sockets[0]), "it would end with EINTR");
	cr_assert(!setsockopt(sockets[1], SOL_SOCKET, SO_RCVLOWAT, &low_water, sizeof low_water));
	cr_expect(!may_stop_reader_of(sockets[1]), "it might have read a part");
	cr_expect(!may_stop_reader_of(inotify_init()));
	cr_expect(!may_stop_reader_of(12345));
	struct thread_call all = call_of(SYS_recvfrom, (uint64_t)sockets[1], 0, 0, MSG_WAITALL);
	cr_expect(!blocking_calls_restarts(getpid(), &all));
}
