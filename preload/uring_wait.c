/* SPDX-License-Identifier: MIT */
/*
 * Whether nobody but us can have ended the wait has to be certain: a handler of the program's may have
 * run between the call and ours (it blocks SIGPROF, say), and a program that waits until that handler
 * set a flag would wait for ever.  The interrupted context does not tell.  So a wait is only resumed in
 * a program that never had a handler, by what it asked libc for, and has none, by what the kernel says;
 * those for faults aside.  Such a program is the one that does not expect EINTR.
 *
 * The call then has had no effect: of a call that submitted something the kernel returns how
 * much, and where there is a completion, 0 (io_uring_enter and io_cqring_wait in the kernel's
 * io_uring.c, alike from 5.1 to 6.18).  One with an extended argument may have a timeout,
 * which would begin anew: that is left alone.
 *
 * Context: any (async-signal-safe).
 */
#include "uring_wait.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <string.h>

#include "arch_x86_64.h"
#include "cprof_atomic.h"
#include "cprof_compiler.h"
#include "process.h"
#include "safe_read.h"
#include "sys.h"

#define KERNEL_SIGSET_BYTES 8
#define SIGNALS 64
#define BIT_OF(number) (UINT64_C(1) << ((number)-1))

/* What instructions raise.  A wait does not, and who sends one of these does not mean to end a wait. */
#define FAULTS (BIT_OF(SIGSEGV) | BIT_OF(SIGBUS) | BIT_OF(SIGFPE) | BIT_OF(SIGILL) | BIT_OF(SIGTRAP))

/*
 * By which glibc has all threads change their uid.  Its handler is there from the second thread on
 * (2.34), and what it ends with EINTR means nothing to a program.
 */
#define LIBC_SETXID BIT_OF(__SIGRTMIN + 1)

/* Those with which a wait may be made again: they say nothing of how long. */
#define HARMLESS_FLAGS                                                            \
	(IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP | IORING_ENTER_SQ_WAIT | \
	 IORING_ENTER_REGISTERED_RING)

/* What the kernel fills in; the rest of its structure is not looked at. */
struct kernel_action {
	void (*handler)(int);
	uint64_t rest[3];
};

/* Set by whoever sets a handler, before it is in force; read by the handlers of ours. */
static atomic_u32 had_handler;

static bool is_handler(void (*handler)(int))
{
	return handler != SIG_DFL && handler != SIG_IGN;
}

void uring_wait_note_action(int number, const struct sigaction *action)
{
	bool is_fault = number >= 1 && number <= SIGNALS && (BIT_OF(number) & FAULTS);
	if (!is_fault && is_handler(action->sa_handler))
		store_relaxed(&had_handler, UINT32_C(1)); /* the system call that sets it orders it */
}

/* Whether the kernel has a handler for another signal than these: set past libc, or for pthread_cancel(). */
static bool has_handler_besides(uint64_t signals)
{
	for (int number = 1; number <= SIGNALS; number++) {
		struct kernel_action action = {.handler = SIG_DFL};
		if (signals & BIT_OF(number))
			continue;
		if (sys_call4(SYS_rt_sigaction, number, 0, (long)&action, KERNEL_SIGSET_BYTES) != 0 ||
		    is_handler(action.handler))
			return true;
	}
	return false;
}

/* Whether a signal of somebody else waits to be delivered where we return to. */
static bool is_signal_due(const ucontext_t *context)
{
	uint64_t pending = 0, blocked;
	memcpy(&blocked, &context->uc_sigmask, sizeof blocked);
	return sys_call2(SYS_rt_sigpending, (long)&pending, KERNEL_SIGSET_BYTES) != 0 ||
	       (pending & ~blocked & ~BIT_OF(SIGPROF)) != 0;
}

/* Whether the context is right behind an io_uring_enter() that waits, without limit, and submits nothing. */
static bool is_after_wait(const ucontext_t *context)
{
	uint8_t code[ARCH_SYSCALL_CODE_BYTES];
	uint32_t to_submit = (uint32_t)arch_context_argument(context, 1);
	uint32_t flags = (uint32_t)arch_context_argument(context, 3);
	return to_submit == 0 && (flags & IORING_ENTER_GETEVENTS) && !(flags & ~HARMLESS_FLAGS) &&
	       safe_read_copy(arch_context_pc(context) - sizeof code, code, sizeof code) &&
	       arch_context_syscall(context, code) == SYS_io_uring_enter;
}

void uring_wait_resume(ucontext_t *context, uint64_t own_signals)
{
	if (load_relaxed(&had_handler) /* set before any handler can have run */ || !process_may_call())
		return;
	if (is_after_wait(context) &&
	    !has_handler_besides(own_signals | BIT_OF(SIGPROF) | FAULTS | LIBC_SETXID) &&
	    !is_signal_due(context))
		arch_context_repeat_syscall(context, SYS_io_uring_enter);
}
