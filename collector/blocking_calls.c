/* SPDX-License-Identifier: MIT */
/*
 * Linux 4.14 to 6.18, read in the kernel's sources: a stop without a signal makes a
 * sleep return -ERESTARTSYS, -ERESTARTNOHAND, -ERESTARTNOINTR or
 * -ERESTART_RESTARTBLOCK, all of which are restarted when no handler runs, or -EINTR,
 * which is not.  A call that has done a part of its work returns that.  What may do
 * either under any circumstances (a socket with SO_RCVTIMEO, a write, a file system in
 * user space) is not stopped.
 *
 * Context: see blocking_calls.h.
 */
#include "blocking_calls.h"

#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "cprof_compiler.h"

/* Timeouts that libc copies before the call are this near. */
#define STACK_NEAR_BYTES 4096

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

/* X(name): all architectures have them. */
#define COMMON_CALLS(X)    \
	X(accept)          \
	X(accept4)         \
	X(clock_nanosleep) \
	X(connect)         \
	X(copy_file_range) \
	X(epoll_pwait)     \
	X(fallocate)       \
	X(fcntl)           \
	X(fdatasync)       \
	X(flock)           \
	X(fsync)           \
	X(futex)           \
	X(getdents64)      \
	X(getrandom)       \
	X(io_getevents)    \
	X(ioctl)           \
	X(mq_timedreceive) \
	X(mq_timedsend)    \
	X(msgrcv)          \
	X(msgsnd)          \
	X(msync)           \
	X(nanosleep)       \
	X(openat)          \
	X(ppoll)           \
	X(pread64)         \
	X(preadv)          \
	X(pselect6)        \
	X(pwrite64)        \
	X(pwritev)         \
	X(read)            \
	X(readv)           \
	X(recvfrom)        \
	X(recvmmsg)        \
	X(recvmsg)         \
	X(restart_syscall) \
	X(rt_sigsuspend)   \
	X(rt_sigtimedwait) \
	X(sched_yield)     \
	X(semop)           \
	X(semtimedop)      \
	X(sendfile)        \
	X(sendmmsg)        \
	X(sendmsg)         \
	X(sendto)          \
	X(splice)          \
	X(sync)            \
	X(syncfs)          \
	X(tee)             \
	X(vmsplice)        \
	X(wait4)           \
	X(waitid)          \
	X(write)           \
	X(writev)

static const struct {
	int number;
	const char *name;
} calls[] = {
#define CALL(name) {SYS_##name, #name},
	COMMON_CALLS(CALL)
#undef CALL
#ifdef SYS_epoll_wait
		{SYS_epoll_wait, "epoll_wait"},
#endif
#ifdef SYS_epoll_pwait2
	{SYS_epoll_pwait2, "epoll_pwait2"},
#endif
#ifdef SYS_futex_waitv
	{SYS_futex_waitv, "futex_waitv"},
#endif
#ifdef SYS_io_pgetevents
	{SYS_io_pgetevents, "io_pgetevents"},
#endif
#ifdef SYS_io_uring_enter
	{SYS_io_uring_enter, "io_uring_enter"},
#endif
#ifdef SYS_open
	{SYS_open, "open"},
#endif
#ifdef SYS_pause
	{SYS_pause, "pause"},
#endif
#ifdef SYS_poll
	{SYS_poll, "poll"},
#endif
#ifdef SYS_select
	{SYS_select, "select"},
#endif
#ifdef SYS_vfork
	{SYS_vfork, "vfork"},
#endif
};

const char *blocking_calls_name(int64_t number)
{
	for (size_t i = 0; i < ARRAY_LENGTH(calls); i++)
		if (calls[i].number == number)
			return calls[i].name;
	return NULL;
}

/* The kernel writes the rest of the time back, and gives up restarting where it cannot. */
static bool is_time_on_stack(const struct thread_call *call, size_t argument)
{
	uint64_t time = call->arguments[argument];
	return time == 0 || (time >= call->sp && time - call->sp < STACK_NEAR_BYTES);
}

enum blocking_restart blocking_calls_restart(const struct thread_call *call)
{
	const uint64_t *arguments = call->arguments;
	if (call->kind != THREAD_CALL_INSIDE)
		return BLOCKING_MAY_END;
	switch (call->number) {
	case SYS_futex: {
		uint64_t operation = arguments[1] & (uint64_t)FUTEX_CMD_MASK;
		/* A requeue that was interrupted cannot be repeated as it was. */
		return operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET || operation == FUTEX_LOCK_PI
			       ? BLOCKING_RESTARTS
			       : BLOCKING_MAY_END;
	}
	case SYS_clock_nanosleep:
	case SYS_msgrcv:
	case SYS_nanosleep:
	case SYS_restart_syscall:
	case SYS_rt_sigsuspend:
	case SYS_wait4:
	case SYS_waitid:
#ifdef SYS_pause
	case SYS_pause:
#endif
#ifdef SYS_poll
	case SYS_poll:
#endif
		return BLOCKING_RESTARTS;
	case SYS_ppoll:
		return is_time_on_stack(call, 2) ? BLOCKING_RESTARTS : BLOCKING_MAY_END;
	case SYS_pselect6:
		return is_time_on_stack(call, 4) ? BLOCKING_RESTARTS : BLOCKING_MAY_END;
	case SYS_recvfrom:
		return arguments[3] & MSG_WAITALL ? BLOCKING_MAY_END : BLOCKING_BY_DESCRIPTOR;
	case SYS_recvmsg:
		return arguments[2] & MSG_WAITALL ? BLOCKING_MAY_END : BLOCKING_BY_DESCRIPTOR;
	case SYS_accept:
	case SYS_accept4:
	case SYS_read:
	case SYS_readv:
		return BLOCKING_BY_DESCRIPTOR;
	default:
		return BLOCKING_MAY_END;
	}
}

/* Whether a socket of another process has no limit of time and waits for any byte. */
static bool is_patient_socket(pid_t pid, int fd)
{
	struct timeval limit = {.tv_sec = 1};
	int low_water = 0;
	socklen_t size = sizeof limit;
	socklen_t low_size = sizeof low_water;
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int copy = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	bool is_patient = copy >= 0 && getsockopt(copy, SOL_SOCKET, SO_RCVTIMEO, &limit, &size) == 0 &&
			  limit.tv_sec == 0 && limit.tv_usec == 0 &&
			  getsockopt(copy, SOL_SOCKET, SO_RCVLOWAT, &low_water, &low_size) == 0 &&
			  low_water <= 1;
	if (copy >= 0)
		close(copy);
	if (pidfd >= 0)
		close(pidfd);
	return is_patient;
}

bool blocking_calls_restarts(pid_t pid, const struct thread_call *call)
{
	enum blocking_restart restart = blocking_calls_restart(call);
	if (restart != BLOCKING_BY_DESCRIPTOR)
		return restart == BLOCKING_RESTARTS;
	char path[64];
	char link[64];
	struct stat st;
	int fd = (int)call->arguments[0];
	snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
	if (stat(path, &st))
		return false;
	if (S_ISFIFO(st.st_mode))
		return true;
	if (S_ISSOCK(st.st_mode))
		return is_patient_socket(pid, fd);
	ssize_t length = readlink(path, link, sizeof link - 1);
	link[length > 0 ? length : 0] = '\0';
	return strcmp(link, "anon_inode:[eventfd]") == 0;
}
