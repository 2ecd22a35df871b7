/* SPDX-License-Identifier: MIT */
/*
 * syscall(2): libseccomp loads its filter through it; Rust's standard library, C++20's atomic
 * waits, abseil and folly wait through it, Rust's io_uring too (uring_wait.h); who knows a thread
 * by its tid signals it through it.  Every other call is passed on by a jump.  The header declares
 * it variadic; its callers always have these seven words in place.
 *
 * Context: as the real function.
 */
#include <errno.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "confinement.h"
#include "contention.h"
#include "cprof_compiler.h"
#include "process.h"
#include "real.h"
#include "sys.h"
#include "trace_life.h"

#ifndef SYS_futex_waitv /* Linux 5.16 */
#define SYS_futex_waitv 449
#endif
#ifndef FUTEX_LOCK_PI2 /* Linux 5.14 */
#define FUTEX_LOCK_PI2 13
#endif

#define STRING_OF_(name) #name
#define STRING_OF(name) STRING_OF_(name)

EXPORT long syscall_of_words(long number, long a, long b, long c, long d, long e,
			     long f) __asm__(STRING_OF(INTERPOSED(syscall)));

static bool is_filter(long number, long a)
{
	return (number == SYS_seccomp && (a == SECCOMP_SET_MODE_STRICT || a == SECCOMP_SET_MODE_FILTER)) ||
	       (number == SYS_prctl && a == PR_SET_SECCOMP);
}

/* Whether the call waits: for a futex, whose number the caller has looked at. */
static bool is_wait(long number, long operation)
{
	if (number == SYS_futex_waitv)
		return true;
	switch (operation & FUTEX_CMD_MASK) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
	case FUTEX_WAIT_REQUEUE_PI:
		return true;
	default:
		return false;
	}
}

/* Whether the call may wake somebody who waits for a futex. */
static bool is_wake(long number, long operation)
{
	if (number != SYS_futex)
		return false;
	switch (operation & FUTEX_CMD_MASK) {
	case FUTEX_WAKE:
	case FUTEX_WAKE_BITSET:
	case FUTEX_WAKE_OP:
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
	case FUTEX_UNLOCK_PI:
		return true;
	default:
		return false;
	}
}

/* EAGAIN: the word had changed already, or it was no wait that the kernel knows. */
static enum contention_end end_of(long result)
{
	if (result >= 0)
		return CONTENTION_ACQUIRED;
	return errno == ETIMEDOUT || errno == EINTR ? CONTENTION_GAVE_UP : CONTENTION_NO_WAIT;
}

static NOINLINE long contended_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	struct contention_wait wait;
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	contention_wait_begin(&wait, CPROF_WAIT_FUTEX, (const void *)a, (const void *)(uintptr_t)real.syscall,
			      &regs);
	long result = real.syscall(number, a, b, c, d, e, f);
	contention_wait_end(&wait, end_of(result));
	return result;
}

/* The result counts those that were woken, and those that a requeue moved; of PI it is 0. */
static NOINLINE long waking_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	struct contention_wake wake = {.what = CPROF_WAIT_FUTEX, .object = (const void *)a};
	struct unwind_regs regs;
	unwind_regs_of_caller(&regs);
	wake.time_ns = contention_wake_time();
	long result = real.syscall(number, a, b, c, d, e, f);
	bool is_pi = (b & FUTEX_CMD_MASK) == FUTEX_UNLOCK_PI;
	int32_t woken_max = is_pi ? 1 : (int32_t)c;
	if (woken_max > 0 && (result > 0 || (result == 0 && is_pi))) {
		wake.count = (uint32_t)(!is_pi && result < woken_max ? result : woken_max);
		contention_wake_record(&wake, (const void *)(uintptr_t)real.syscall, &regs);
	}
	return result;
}

static NOINLINE long futex_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (contention_is_on() && is_wait(number, b))
		return contended_syscall(number, a, b, c, d, e, f);
	if (unlikely(contention_may_wake((const void *)a)) && is_wake(number, b))
		return waking_syscall(number, a, b, c, d, e, f);
	return real.syscall(number, a, b, c, d, e, f);
}

static bool is_signalling(long number)
{
	return number == SYS_kill || number == SYS_tkill || number == SYS_tgkill;
}

/* The kernel takes ints, whatever else is in the words. */
static void note_signal(const struct trace_life_call *call, long number, long a, long b, long c)
{
	if (number == SYS_kill)
		trace_life_signals(call, (int)b, (pid_t)a);
	else if (number == SYS_tkill)
		trace_life_signals_tid(call, (int)b, (uint32_t)a, 0);
	else
		trace_life_signals_tid(call, (int)c, (uint32_t)b, (uint32_t)a);
}

static NOINLINE long signalling_syscall(long number, long a, long b, long c)
{
	struct trace_life_call call = {.function = (const void *)(uintptr_t)real.syscall};
	unwind_regs_of_caller(&call.regs);
	note_signal(&call, number, a, b, c);
	return real.syscall(number, a, b, c, 0, 0, 0);
}

static long with_errno(long result)
{
	if (!sys_is_error(result))
		return result;
	errno = (int)-result;
	return -1;
}

/* By an instruction that the handler of our timers' signals knows: libc's does not show what was called. */
static NOINLINE long uring_enter_syscall(long a, long b, long c, long d, long e, long f)
{
	return with_errno(sys_uring_enter(a, b, c, d, e, f));
}

/* A filter, or a call before the real one is known (an allocator's start, say). */
static COLD NOINLINE long special_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (is_filter(number, a)) {
		bool has_filter = number == SYS_seccomp ? a == SECCOMP_SET_MODE_FILTER
							: b == SECCOMP_MODE_FILTER;
		bool is_for_all = number == SYS_seccomp && (b & (long)SECCOMP_FILTER_FLAG_TSYNC);
		confinement_enter(has_filter ? (uint64_t)c : 0,
				  is_for_all ? CONFINEMENT_OF_ALL : CONFINEMENT_OF_THREAD);
	}
	return with_errno(sys_call6(number, a, b, c, d, e, f));
}

long syscall_of_words(long number, long a, long b, long c, long d, long e, long f)
{
	if (unlikely(!real.syscall || is_filter(number, a)))
		return special_syscall(number, a, b, c, d, e, f);
	if (number == SYS_futex || number == SYS_futex_waitv)
		return futex_syscall(number, a, b, c, d, e, f);
	if (number == SYS_io_uring_enter)
		return uring_enter_syscall(a, b, c, d, e, f);
	if (unlikely(trace_is_on()) && is_signalling(number))
		return signalling_syscall(number, a, b, c);
	return real.syscall(number, a, b, c, d, e, f);
}
