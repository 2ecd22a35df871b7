/* SPDX-License-Identifier: MIT */
/*
 * PTRACE_SEIZE changes nothing in the thread; PTRACE_INTERRUPT takes it out of the
 * kernel or the CPU.  A thread that ran when the decision was made may have gone to
 * sleep by then in a call that is not restarted: its -EINTR would be our doing.  So
 * the kernel is told to treat that call as those that it restarts: the result is
 * replaced by its own -ERESTARTNOHAND, and when the thread goes on the kernel makes the
 * call anew, unless a handler runs, however late its signal came: then the call ends
 * with EINTR, as it would have without us.  A loop `while (!done) epoll_wait()` relies
 * on that as much as others rely on seeing no EINTR.
 *
 * Signals that are blocked, ignored or without effect end nothing.  Nor may cprof's own
 * SIGPROF: the kernel keeps what a CPU timer has to say until the thread next leaves the
 * kernel, which our stop makes it do early, in calls that sleep.  Its handler would end
 * even a poll() with EINTR.  That one signal is dropped: a sample less is no harm.
 *
 * A call that is made anew starts its relative timeout anew.  The thread was seen
 * running when the stop was decided, so what is added is the little that it had slept.
 *
 * Context: see thread_stop.h.
 */
#include "thread_stop.h"

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "clock.h"
#include "cprof_compiler.h"
#include "remote_memory.h"

#define PATIENCE_NS INT64_C(50000000)
#define PAUSE_FIRST_NS 2000
#define PAUSE_MAX_NS 500000

/*
 * What calls return inside the kernel to be restarted: unless a handler without
 * SA_RESTART runs, unless any handler runs, and the same with the time that is left.
 * User space never sees them, but ptrace does.
 */
#define KERNEL_ERESTARTSYS 512
#define KERNEL_ERESTARTNOHAND 514
#define KERNEL_ERESTART_RESTARTBLOCK 516

#define STOPS_BEFORE_DELIVERY 3

/* Of the thread's own pending signals so many are looked at. */
#define SIGNALS_PEEKED 16

static int64_t now_ns(void)
{
	return (int64_t)clock_ns(CLOCK_MONOTONIC);
}

/* Waits until it has stopped: *out_status.  -ESRCH: it has ended; -ETIMEDOUT. */
static int wait_for_stop(pid_t tid, int64_t patience_ns, int *out_status)
{
	int64_t deadline = now_ns() + (patience_ns ? patience_ns : PATIENCE_NS);
	struct timespec pause = {.tv_nsec = PAUSE_FIRST_NS};
	for (;;) {
		int status;
		pid_t got = waitpid(tid, &status, __WALL | WNOHANG);
		if (got == tid && WIFSTOPPED(status)) {
			*out_status = status;
			return 0;
		}
		if (got == tid || (got < 0 && errno != EINTR))
			return -ESRCH;
		if (now_ns() >= deadline)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < PAUSE_MAX_NS)
			pause.tv_nsec *= 2;
	}
}

/* Whether it stopped for us; else it did because a signal is being delivered. */
static bool is_our_stop(int status)
{
	return status >> 16 == PTRACE_EVENT_STOP;
}

/* Whether a timer's SIGPROF is all that would run a handler. */
static bool is_only_profiled(pid_t tid)
{
	static const uint64_t profiling = UINT64_C(1) << (SIGPROF - 1);
	struct thread_state state;
	siginfo_t pending[SIGNALS_PEEKED];
	struct __ptrace_peeksiginfo_args peek = {.nr = SIGNALS_PEEKED};
	if (thread_state_read_status(tid, tid, &state) || state.signals != profiling || state.process_signals)
		return false;
	long count = ptrace(PTRACE_PEEKSIGINFO, tid, &peek, pending);
	for (long i = 0; i < count; i++)
		if (pending[i].si_signo == SIGPROF)
			return pending[i].si_code == SI_TIMER;
	return false;
}

/* A thread that has stopped: its registers.  A call that the stop has ended goes on when it does. */
static bool take_registers(pid_t tid, struct user_regs_struct *out_user)
{
	if (ptrace(PTRACE_GETREGS, tid, NULL, out_user))
		return false;
	/* close() has closed: a second one would hit who got the number since. */
	if ((int64_t)out_user->orig_rax >= 0 && (int64_t)out_user->rax == -EINTR &&
	    out_user->orig_rax != SYS_close) {
		out_user->rax = -(unsigned long)KERNEL_ERESTARTNOHAND;
		(void)ptrace(PTRACE_SETREGS, tid, NULL, out_user);
	}
	return true;
}

/* Whether it is in a call that a handler may end. */
static bool is_interruptible(const struct user_regs_struct *user)
{
	int64_t result = (int64_t)user->rax;
	return (int64_t)user->orig_rax >= 0 &&
	       (result == -KERNEL_ERESTARTSYS || result == -KERNEL_ERESTARTNOHAND ||
		result == -KERNEL_ERESTART_RESTARTBLOCK);
}

/* The signal that a stopped thread is to go on with. */
static long signal_of(pid_t tid, int status, bool drops_profiling)
{
	siginfo_t info;
	if (is_our_stop(status))
		return 0;
	if (drops_profiling && WSTOPSIG(status) == SIGPROF &&
	    ptrace(PTRACE_GETSIGINFO, tid, NULL, &info) == 0 && info.si_code == SI_TIMER)
		return 0;
	return WSTOPSIG(status);
}

/* Lets go of a stopped thread.  A signal that it stopped for is its own: it gets it. */
static void release(pid_t tid, int status, const struct user_regs_struct *user, struct thread_stop_late *late)
{
	bool drops_profiling = is_our_stop(status) && is_interruptible(user) && is_only_profiled(tid);
	/* On to its delivery.  A stop of the whole process may come first. */
	for (int i = 0; drops_profiling && is_our_stop(status) && i < STOPS_BEFORE_DELIVERY; i++) {
		int error = ptrace(PTRACE_CONT, tid, NULL, NULL)
				    ? -ESRCH
				    : wait_for_stop(tid, late->patience_ns, &status);
		if (error == -ETIMEDOUT && late->count < ARRAY_LENGTH(late->tids)) {
			(void)ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
			late->tids[late->count++] = tid;
		}
		if (error)
			return;
	}
	(void)ptrace(PTRACE_DETACH, tid, NULL, (void *)signal_of(tid, status, drops_profiling));
}

/*
 * Whether a stop could be noticed elsewhere: a SIGCHLD that nobody minds is dropped at
 * once, but not while the thread whose child has ended is traced.  It is queued then for
 * any thread to take, and ends an epoll_wait or a sigtimedwait of one that we do not hold.
 */
static bool disturbs_others(pid_t tid)
{
	struct thread_state state;
	return thread_state_has_children(tid, tid) && (thread_state_read_status(tid, tid, &state) ||
						       (state.drops_sigchld && state.thread_count > 1));
}

static bool is_as_assumed(const struct user_regs_struct *user, const struct thread_call *assumed)
{
	if (assumed->kind == THREAD_CALL_RUNNING)
		return true; /* wherever it is by now: the copy is of one moment */
	return user->rsp == assumed->sp && user->rip == assumed->pc;
}

int thread_stop_copy(pid_t tid, const struct thread_call *assumed, unsigned char *stack, size_t capacity,
		     struct thread_stop_late *late, struct thread_stop *out_stop)
{
	struct user_regs_struct user = {0};
	int status;
	if (late->count == ARRAY_LENGTH(late->tids))
		return -ETIMEDOUT;
	if (disturbs_others(tid))
		return -EBUSY;
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL))
		return -errno;
	int error = ptrace(PTRACE_INTERRUPT, tid, NULL, NULL)
			    ? -ESRCH
			    : wait_for_stop(tid, late->patience_ns, &status);
	if (error == -ETIMEDOUT)
		late->tids[late->count++] = tid;
	if (error)
		return error;
	if (!take_registers(tid, &user))
		error = -ESRCH;
	else if (disturbs_others(tid)) /* now that it can make no more children */
		error = -EBUSY;
	else if (!is_as_assumed(&user, assumed))
		error = -EAGAIN;
	if (!error) {
		ssize_t copied = remote_memory_copy(tid, user.rsp, stack, capacity);
		remote_regs_from_user(&out_stop->regs, &user);
		out_stop->stack_bytes = copied > 0 ? (size_t)copied : 0;
		error = copied < 0 ? (int)copied : 0;
	}
	release(tid, status, &user, late);
	return error;
}

void thread_stop_release_late(struct thread_stop_late *late)
{
	for (size_t i = 0; i < late->count;) {
		struct user_regs_struct user;
		pid_t tid = late->tids[i];
		int status;
		pid_t got = waitpid(tid, &status, __WALL | WNOHANG);
		if (got == 0) {
			i++;
			continue;
		}
		late->tids[i] = late->tids[--late->count];
		if (got > 0 && WIFSTOPPED(status) && take_registers(tid, &user))
			release(tid, status, &user, late);
	}
}

void thread_stop_await_late(struct thread_stop_late *late, int64_t deadline_ns)
{
	static const struct timespec pause = {.tv_nsec = PAUSE_MAX_NS};
	thread_stop_release_late(late);
	while (late->count && now_ns() < deadline_ns) {
		nanosleep(&pause, NULL);
		thread_stop_release_late(late);
	}
}
