/* SPDX-License-Identifier: MIT */
/*
 * Linux 4.14 to 6.18, read in the kernel's sources: a stop without a signal makes a
 * sleep return -ERESTARTSYS, -ERESTARTNOHAND, -ERESTARTNOINTR or
 * -ERESTART_RESTARTBLOCK, all of which are restarted when no handler runs, or -EINTR,
 * which is not.  What may give -EINTR under any circumstances (a socket with
 * SO_RCVTIMEO, a file system in user space) is not in the list of those that restart.
 *
 * Context: see blocking_calls.h.
 */
#include "blocking_calls.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "cprof_compiler.h"

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

bool blocking_calls_restarts(const struct thread_call *call)
{
	if (call->kind != THREAD_CALL_INSIDE)
		return false;
	switch (call->number) {
	case SYS_futex: {
		uint64_t operation = call->arguments[1] & (uint64_t)FUTEX_CMD_MASK;
		/* A requeue that was interrupted cannot be repeated as it was. */
		return operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET ||
		       operation == FUTEX_LOCK_PI;
	}
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
	case SYS_wait4:
	case SYS_waitid:
#ifdef SYS_poll
	case SYS_poll:
#endif
#ifdef SYS_pause
	case SYS_pause:
#endif
		return true;
	default:
		return false;
	}
}
