/* SPDX-License-Identifier: MIT */
/*
 * The handlers, and what the program wants for SIGPROF: kept here, and served by ours.
 *
 * Context: as the interposed functions; handlers: any (async-signal-safe).
 */
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "arch_x86_64.h"
#include "config.h"
#include "cpu_timer.h"
#include "flight.h"
#include "process.h"
#include "real.h"
#include "session.h"
#include "signal_mask.h"
#include "sys.h"
#include "thread.h"
#include "uring_wait.h"

#define KERNEL_SIGSET_BYTES 8
#define SIGPROF_BIT (UINT64_C(1) << (SIGPROF - 1))

/* Set at load, and cleared when the process is about to die of SIGPROF. */
static bool is_sigprof_ours;

/*
 * What the program wants for SIGPROF.  Two copies: a handler reads the one that
 * `current` names while sigaction() writes the other.
 */
static struct sigaction program_actions[2];
static atomic_u32 current_action;

/* Bit n-1: signal n asks for something, and its handler is ours. */
static atomic_u64 request_signals;

static uint64_t bit_of(int number)
{
	return number >= 1 && number <= 64 ? UINT64_C(1) << (number - 1) : 0;
}

/* The default action of SIGPROF is to end the process. */
static void die_of_sigprof(void)
{
	struct sigaction default_action = {.sa_handler = SIG_DFL};
	is_sigprof_ours = false;
	(void)real.sigaction(SIGPROF, &default_action, NULL);
	uint64_t only_sigprof = SIGPROF_BIT;
	(void)sys_call4(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&only_sigprof, 0, KERNEL_SIGSET_BYTES);
	(void)sys_call3(SYS_tgkill, sys_call0(SYS_getpid), thread_id(), SIGPROF);
}

/* A SIGPROF that the program, or somebody else, sent. */
static NOINLINE void serve_program(int number, siginfo_t *info, ucontext_t *context)
{
	if (signal_mask_is_closed(&context->uc_sigmask)) {
		signal_mask_give_up_sigprof(info, context);
		return;
	}
	uint32_t index = load_acquire(&current_action); /* pairs with the release in set_sigprof_action() */
	const struct sigaction action = program_actions[index & 1];
	if (action.sa_handler == SIG_IGN)
		return;
	if (action.sa_handler == SIG_DFL) {
		die_of_sigprof();
		return;
	}
	if (action.sa_flags & (int)SA_RESETHAND) {
		program_actions[index & 1].sa_handler = SIG_DFL;
		program_actions[index & 1].sa_flags &= ~SA_SIGINFO;
	}
	/*
	 * Ours blocks everything; theirs wants the interrupted code's mask and its own on top,
	 * SA_NODEFER apart SIGPROF too.  The kernel holds it back, and not a flag of ours, so
	 * that a handler that leaves by siglongjmp leaves nothing behind.
	 */
	uint64_t mask, interrupted_mask;
	memcpy(&mask, &action.sa_mask, sizeof mask);
	memcpy(&interrupted_mask, &context->uc_sigmask, sizeof interrupted_mask);
	mask |= interrupted_mask | (action.sa_flags & SA_NODEFER ? 0 : SIGPROF_BIT);
	(void)sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, KERNEL_SIGSET_BYTES);
	if (action.sa_flags & SA_SIGINFO)
		action.sa_sigaction(number, info, context);
	else
		action.sa_handler(number);
	/* What it set for the time until its return ends with it. */
	thread_tls.sigprof_witness = 0;
}

static void on_sigprof(int number, siginfo_t *info, void *context)
{
	if (!cpu_timer_is_ours(info)) {
		serve_program(number, info, context);
		return;
	}
	cpu_timer_sample(info, context);
	if (unlikely(arch_context_is_after_syscall(context, -EINTR)))
		uring_wait_resume(context, load_relaxed(&request_signals)); /* as at load, or less */
}

bool signals_own_sigprof(void)
{
	return is_sigprof_ours;
}

static void on_snapshot(int number)
{
	(void)number;
	(void)session_request_snapshot();
}

static void on_flight(int number)
{
	(void)number;
	(void)flight_request(CPROF_FLIGHT_BY_SIGNAL);
}

/* Installs our SIGPROF handler; `restart`: SA_RESTART or 0, as the program wants it. */
static void install_sigprof(int restart)
{
	struct sigaction action = {.sa_sigaction = on_sigprof, .sa_flags = SA_SIGINFO | SA_ONSTACK | restart};
	/*
	 * No other handler runs while a sample is taken: one that leaves by longjmp would
	 * leave our guard held.
	 */
	(void)sigfillset(&action.sa_mask);
	(void)real.sigaction(SIGPROF, &action, NULL);
}

/* `number` 0: none. */
static void take_request(int number, void (*handler)(int))
{
	struct sigaction inherited;
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | SA_ONSTACK};
	/* nohup and the like: an inherited SIG_IGN is somebody's wish. */
	if (number && real.sigaction(number, NULL, &inherited) == 0 && inherited.sa_handler == SIG_DFL &&
	    real.sigaction(number, &action, NULL) == 0)
		or_relaxed(&request_signals, bit_of(number)); /* read by this process's own calls */
}

void signals_load(void)
{
	if (config.cpu_hz) {
		struct sigaction inherited;
		if (real.sigaction(SIGPROF, NULL, &inherited) == 0)
			program_actions[0] = inherited;
		install_sigprof(SA_RESTART);
		is_sigprof_ours = true;
		signal_mask_open_sigprof();
	}
	take_request(config.snapshot_signal, on_snapshot);
	take_request(config.flight_signal, on_flight);
}

void signals_set_sigprof_action(const struct sigaction *action, struct sigaction *old_action)
{
	uint32_t index = load_relaxed(&current_action); /* concurrent setters race as without us */
	struct sigaction previous = program_actions[index & 1];
	if (action && process_is_vfork_child()) {
		(void)real.sigaction(SIGPROF, action, NULL);
	} else if (action) {
		program_actions[(index + 1) & 1] = *action;
		store_release(&current_action, index + 1); /* the action is complete */
		install_sigprof(signals_program_handles_sigprof() ? action->sa_flags & SA_RESTART
								  : SA_RESTART);
	}
	if (old_action)
		*old_action = previous;
}

bool signals_program_handles_sigprof(void)
{
	/* Acquire: pairs with the release above. */
	const struct sigaction *action = &program_actions[load_acquire(&current_action) & 1];
	return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

void signals_ignore_sigprof(void)
{
	struct sigaction action = {.sa_handler = SIG_IGN};
	if (is_sigprof_ours && !signals_program_handles_sigprof())
		(void)real.sigaction(SIGPROF, &action, NULL);
}

bool signals_own_request(int number)
{
	return (load_relaxed(&request_signals) & bit_of(number)) != 0; /* as at load */
}

void signals_give_up_request(int number)
{
	and_relaxed(&request_signals, ~bit_of(number)); /* as at load */
	if (number == config.flight_signal)
		LOG(LOG_INFO, "the program handles the flight recorder's signal itself; cprof steps aside "
			      "(CPROF_FLIGHT_SIGNAL takes another one)");
	else
		LOG(LOG_INFO, "the program handles the snapshot signal itself; cprof steps aside "
			      "(CPROF_SIGNAL takes another one)");
}
