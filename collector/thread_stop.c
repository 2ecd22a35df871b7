/* SPDX-License-Identifier: MIT */
/*
 * PTRACE_SEIZE changes nothing in the thread; PTRACE_INTERRUPT takes it out of the
 * kernel or the CPU.  A thread that ran when the decision was made may have gone to
 * sleep by then in a call that is not restarted: its -EINTR would be our doing, so the
 * call is made anew by hand, with the registers that the kernel itself would set.
 *
 * Context: see thread_stop.h.
 */
#include "thread_stop.h"

#include <errno.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "cprof_compiler.h"
#include "remote_memory.h"

#define DEADLINE_NS INT64_C(50000000)
#define PAUSE_FIRST_NS 2000
#define PAUSE_MAX_NS 500000

/* Length of the instruction that enters the kernel. */
#define CALL_INSTRUCTION_BYTES 2

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Waits until it has stopped: *out_status.  -ESRCH: it has ended; -ETIMEDOUT. */
static int wait_for_stop(pid_t tid, int *out_status)
{
	int64_t deadline = now_ns() + DEADLINE_NS;
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

/* A system call that our stop has just ended is made anew. */
static void mend_call(pid_t tid)
{
	struct user_regs_struct user;
	struct thread_state state;
	if (ptrace(PTRACE_GETREGS, tid, NULL, &user) || (int64_t)user.orig_rax < 0 ||
	    (int64_t)user.rax != -EINTR)
		return;
	/* With a signal waiting the call would have ended like this all the same. */
	if (thread_state_read_status(tid, tid, &state) || state.pending & ~state.blocked)
		return;
	user.rax = user.orig_rax;
	user.rip -= CALL_INSTRUCTION_BYTES;
	user.orig_rax = (unsigned long)-1; /* no restart by the kernel on top of it */
	(void)ptrace(PTRACE_SETREGS, tid, NULL, &user);
}

/* Lets go of a stopped thread.  A signal that it stopped for is its own: it gets it. */
static void release(pid_t tid, int status)
{
	if (is_our_stop(status))
		mend_call(tid);
	long signal_number = is_our_stop(status) ? 0 : WSTOPSIG(status);
	(void)ptrace(PTRACE_DETACH, tid, NULL, (void *)signal_number);
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
	struct user_regs_struct user;
	int status;
	if (late->count == ARRAY_LENGTH(late->tids))
		return -ETIMEDOUT;
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL))
		return -errno;
	int error = ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) ? -ESRCH : wait_for_stop(tid, &status);
	if (error == -ETIMEDOUT)
		late->tids[late->count++] = tid;
	if (error)
		return error;
	if (ptrace(PTRACE_GETREGS, tid, NULL, &user))
		error = -ESRCH;
	else if (!is_as_assumed(&user, assumed))
		error = -EAGAIN;
	if (!error) {
		ssize_t copied = remote_memory_copy(tid, user.rsp, stack, capacity);
		remote_regs_from_user(&out_stop->regs, &user);
		out_stop->stack_bytes = copied > 0 ? (size_t)copied : 0;
		error = copied < 0 ? (int)copied : 0;
	}
	release(tid, status);
	return error;
}

void thread_stop_release_late(struct thread_stop_late *late)
{
	for (size_t i = 0; i < late->count;) {
		int status;
		pid_t got = waitpid(late->tids[i], &status, __WALL | WNOHANG);
		if (got == 0) {
			i++;
			continue;
		}
		if (got > 0 && WIFSTOPPED(status))
			release(late->tids[i], status);
		late->tids[i] = late->tids[--late->count];
	}
}
