/* SPDX-License-Identifier: MIT */
/*
 * sigaction() and its older kin, as the program sees them.
 *
 * The kernel sees another sa_mask than the program set, in SIGPROF's bit only: it is out,
 * so that CPU time in handlers is seen, but in for handlers on an alternate stack once
 * the program has a small one, which would not hold a second frame, and where the
 * program handles SIGPROF itself and asked for it to be held back.
 *
 * Context: as the real functions.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>

#include "process.h"
#include "real.h"
#include "signals.h"
#include "uring_wait.h"

/* Bit n-1: the program's sa_mask for signal n holds SIGPROF. */
static atomic_u64 masks_with_sigprof;

/* A kernel frame (3 KB with AVX-512) each for the program's handler and ours, and what they use. */
#define SMALL_STACK_BYTES (16 << 10)
static atomic_u32 has_small_stack;

static uint64_t bit_of(int number)
{
	return number >= 1 && number <= 64 ? UINT64_C(1) << (number - 1) : 0;
}

/* Puts SIGPROF in or out of the mask that the kernel will see. */
static void adjust_mask(struct sigaction *action, bool program_wants_it)
{
	/* Relaxed: set before the handlers are adjusted to it. */
	bool is_tight = (action->sa_flags & SA_ONSTACK) && load_relaxed(&has_small_stack);
	if (is_tight || (program_wants_it && signals_program_handles_sigprof()))
		(void)sigaddset(&action->sa_mask, SIGPROF);
	else
		(void)sigdelset(&action->sa_mask, SIGPROF);
}

/* Any signal but SIGPROF. */
static int set_action(int number, const struct sigaction *action, struct sigaction *old_action)
{
	if (!signals_own_sigprof())
		return real.sigaction(number, action, old_action);
	/* Relaxed: concurrent setters of one signal race as without us. */
	bool had_sigprof = load_relaxed(&masks_with_sigprof) & bit_of(number);
	bool has_sigprof = action && sigismember(&action->sa_mask, SIGPROF) == 1;
	struct sigaction adjusted;
	if (action) {
		adjusted = *action;
		adjust_mask(&adjusted, has_sigprof);
	}
	int result = real.sigaction(number, action ? &adjusted : NULL, old_action);
	if (result != 0)
		return result;
	if (action && has_sigprof != had_sigprof && !process_is_vfork_child()) {
		/* Relaxed: as above. */
		if (has_sigprof)
			or_relaxed(&masks_with_sigprof, bit_of(number));
		else
			and_relaxed(&masks_with_sigprof, ~bit_of(number));
	}
	if (old_action && had_sigprof)
		(void)sigaddset(&old_action->sa_mask, SIGPROF);
	else if (old_action)
		(void)sigdelset(&old_action->sa_mask, SIGPROF);
	return 0;
}

/* What the masks depend on has changed. */
static void adjust_all_masks(void)
{
	for (int number = 1; number <= 64; number++) {
		struct sigaction action;
		if (number == SIGPROF || real.sigaction(number, NULL, &action) != 0 ||
		    action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN ||
		    signals_own_request(number))
			continue;
		adjust_mask(&action, load_relaxed(&masks_with_sigprof) & bit_of(number));
		(void)real.sigaction(number, &action, NULL);
	}
}

EXPORT int INTERPOSED(sigaltstack)(const stack_t *stack, stack_t *old_stack)
{
	real_resolve();
	int result = real.sigaltstack(stack, old_stack);
	if (result == 0 && stack && !(stack->ss_flags & SS_DISABLE) && stack->ss_size < SMALL_STACK_BYTES &&
	    signals_own_sigprof() && !load_relaxed(&has_small_stack) && !process_is_vfork_child()) {
		int saved_errno = errno;
		store_relaxed(&has_small_stack, UINT32_C(1)); /* as in adjust_mask() */
		adjust_all_masks();
		errno = saved_errno;
	}
	return result;
}

EXPORT int INTERPOSED(sigaction)(int number, const struct sigaction *action, struct sigaction *old_action)
{
	real_resolve();
	if (action)
		uring_wait_note_action(number, action);
	if (number == SIGPROF && signals_own_sigprof()) {
		bool did_handle = signals_program_handles_sigprof();
		signals_set_sigprof_action(action, old_action);
		if (did_handle != signals_program_handles_sigprof())
			adjust_all_masks();
		return 0;
	}
	bool was_ours = signals_own_request(number);
	int result = set_action(number, action, old_action);
	if (result == 0 && was_ours) {
		if (old_action)
			*old_action = (struct sigaction){.sa_handler = SIG_DFL};
		if (action && !process_is_vfork_child())
			signals_give_up_request(number);
	}
	return result;
}

/* The others do not go through sigaction's symbol in libc. */

typedef void (*handler_fn)(int);
int INTERPOSED(__sigaction)(int number, const struct sigaction *action, struct sigaction *old_action);
handler_fn INTERPOSED(signal)(int number, handler_fn handler);
handler_fn INTERPOSED(bsd_signal)(int number, handler_fn handler);
handler_fn INTERPOSED(ssignal)(int number, handler_fn handler);
handler_fn INTERPOSED(sysv_signal)(int number, handler_fn handler);
handler_fn INTERPOSED(__sysv_signal)(int number, handler_fn handler);
handler_fn INTERPOSED(sigset)(int number, handler_fn handler);
int INTERPOSED(siginterrupt)(int number, int interrupts);
int INTERPOSED(sigignore)(int number);
int INTERPOSED(sighold)(int number);
int INTERPOSED(sigrelse)(int number);

EXPORT int INTERPOSED(__sigaction)(int number, const struct sigaction *action, struct sigaction *old_action)
{
	return INTERPOSED(sigaction)(number, action, old_action);
}

/* Bit n-1: siginterrupt() wants signal n to interrupt calls, also with handlers that signal() installs later. */
static atomic_u64 interrupting;

static handler_fn set_handler(int number, const struct sigaction *action)
{
	struct sigaction old;
	if (action->sa_handler == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	if (INTERPOSED(sigaction)(number, action, &old) != 0)
		return SIG_ERR;
	return old.sa_handler;
}

/* BSD's: the handler stays, and holds its signal back. */
static handler_fn set_bsd_handler(int number, handler_fn handler)
{
	struct sigaction action = {.sa_handler = handler};
	/* Relaxed: concurrent setters of one signal race as without us. */
	if (!(load_relaxed(&interrupting) & bit_of(number)))
		action.sa_flags = SA_RESTART;
	(void)sigaddset(&action.sa_mask, number); /* of no signal: sigaction() says so */
	return set_handler(number, &action);
}

static handler_fn set_sysv_handler(int number, handler_fn handler)
{
	const struct sigaction action = {.sa_handler = handler, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};
	return set_handler(number, &action);
}

EXPORT handler_fn INTERPOSED(signal)(int number, handler_fn handler)
{
	return set_bsd_handler(number, handler);
}

EXPORT handler_fn INTERPOSED(bsd_signal)(int number, handler_fn handler)
{
	return set_bsd_handler(number, handler);
}

EXPORT handler_fn INTERPOSED(ssignal)(int number, handler_fn handler)
{
	return set_bsd_handler(number, handler);
}

EXPORT handler_fn INTERPOSED(sysv_signal)(int number, handler_fn handler)
{
	return set_sysv_handler(number, handler);
}

EXPORT handler_fn INTERPOSED(__sysv_signal)(int number, handler_fn handler)
{
	return set_sysv_handler(number, handler);
}

EXPORT int INTERPOSED(siginterrupt)(int number, int interrupts)
{
	struct sigaction action;
	if (INTERPOSED(sigaction)(number, NULL, &action) != 0)
		return -1;
	action.sa_flags = interrupts ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
	/* One of ours stays ours until the program sets a handler. */
	if (!signals_own_request(number) && INTERPOSED(sigaction)(number, &action, NULL) != 0)
		return -1;
	if (process_is_vfork_child())
		return 0;
	if (interrupts) /* as in set_bsd_handler() */
		or_relaxed(&interrupting, bit_of(number));
	else
		and_relaxed(&interrupting, ~bit_of(number));
	return 0;
}

/* Blocks or opens one signal. 0, or -1 with errno. */
static int change_one(int how, int number, sigset_t *out_old_set)
{
	sigset_t set;
	(void)sigemptyset(&set);
	if (sigaddset(&set, number) != 0)
		return -1;
	int error = INTERPOSED(pthread_sigmask)(how, &set, out_old_set);
	if (error)
		errno = error;
	return error ? -1 : 0;
}

/* System V's: SIG_HOLD blocks; any other disposition opens the signal. */
EXPORT handler_fn INTERPOSED(sigset)(int number, handler_fn handler)
{
	sigset_t old_set;
	struct sigaction old;
	if (handler == SIG_HOLD) {
		if (change_one(SIG_BLOCK, number, &old_set) != 0 ||
		    INTERPOSED(sigaction)(number, NULL, &old) != 0)
			return SIG_ERR;
		return sigismember(&old_set, number) == 1 ? SIG_HOLD : old.sa_handler;
	}
	struct sigaction action = {.sa_handler = handler};
	if (INTERPOSED(sigaction)(number, &action, &old) != 0 ||
	    change_one(SIG_UNBLOCK, number, &old_set) != 0)
		return SIG_ERR;
	return sigismember(&old_set, number) == 1 ? SIG_HOLD : old.sa_handler;
}

EXPORT int INTERPOSED(sigignore)(int number)
{
	const struct sigaction action = {.sa_handler = SIG_IGN};
	return INTERPOSED(sigaction)(number, &action, NULL);
}

EXPORT int INTERPOSED(sighold)(int number)
{
	return change_one(SIG_BLOCK, number, NULL);
}

EXPORT int INTERPOSED(sigrelse)(int number)
{
	return change_one(SIG_UNBLOCK, number, NULL);
}
