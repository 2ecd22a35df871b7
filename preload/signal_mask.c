/* SPDX-License-Identifier: MIT */
/*
 * pthread_sigmask() and sigprocmask(), and what becomes of SIGPROF in them.
 *
 * Context: any (async-signal-safe); see signal_mask.h.
 */
#include "signal_mask.h"

#include <string.h>

#include "cpu_timer.h"
#include "process.h"
#include "real.h"
#include "segment.h"
#include "signals.h"
#include "sys.h"
#include "thread.h"

#define KERNEL_SIGSET_BYTES 8
#define SIGPROF_BIT (UINT64_C(1) << (SIGPROF - 1))

void signal_mask_open_sigprof(void)
{
	if (!signals_own_sigprof() || thread_tls.sigprof_is_programs || !process_may_call())
		return;
	uint64_t only_sigprof = SIGPROF_BIT;
	uint64_t old = 0;
	(void)sys_call4(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&only_sigprof, (long)&old,
			KERNEL_SIGSET_BYTES);
	if (old & SIGPROF_BIT)
		thread_tls.sigprof_blocked = true;
}

void signal_mask_give_up_sigprof(siginfo_t *info, ucontext_t *context)
{
	cpu_timer_stop(); /* else its signals would be taken for the program's */
	segment_count(CPROF_THREADS_NO_TIMER, 1);
	thread_tls.sigprof_is_programs = true;
	thread_tls.sigprof_blocked = false;
	uint64_t mask;
	memcpy(&mask, &context->uc_sigmask, sizeof mask);
	mask |= SIGPROF_BIT;
	memcpy(&context->uc_sigmask, &mask, sizeof mask);
	long pid = sys_call0(SYS_getpid);
	if (info->si_code == SI_TKILL)
		(void)sys_call4(SYS_rt_tgsigqueueinfo, pid, thread_id(), SIGPROF, (long)info);
	else if (sys_call3(SYS_rt_sigqueueinfo, pid, SIGPROF, (long)info) != 0)
		(void)sys_call2(SYS_kill, pid,
				SIGPROF); /* only the main thread may say that the kernel sent it */
}

/* What the program will believe about SIGPROF after this call. */
static bool will_be_blocked(int how, const sigset_t *set)
{
	bool names_sigprof = sigismember(set, SIGPROF) == 1;
	if (how == SIG_SETMASK)
		return names_sigprof;
	return names_sigprof ? how == SIG_BLOCK : thread_tls.sigprof_blocked;
}

/* Either mask function: `next` is the real one. */
static int set_mask(int (*next)(int, const sigset_t *, sigset_t *), int how, const sigset_t *set,
		    sigset_t *old_set)
{
	if (!signals_own_sigprof() || thread_tls.sigprof_is_programs)
		return next(how, set, old_set);
	bool was_blocked = thread_tls.sigprof_blocked;
	bool is_blocked = set ? will_be_blocked(how, set) : was_blocked;
	if (is_blocked != was_blocked && process_is_vfork_child())
		return next(how, set, old_set);
	sigset_t open_set;
	if (set) {
		open_set = *set;
		if (how != SIG_UNBLOCK)
			(void)sigdelset(&open_set, SIGPROF);
	}
	int result = next(how, set ? &open_set : NULL, old_set);
	if (result != 0)
		return result;
	if (old_set && was_blocked)
		(void)sigaddset(old_set, SIGPROF);
	thread_tls.sigprof_blocked = is_blocked;
	return 0;
}

EXPORT int INTERPOSED(pthread_sigmask)(int how, const sigset_t *set, sigset_t *old_set)
{
	real_resolve();
	return set_mask(real.pthread_sigmask, how, set, old_set);
}

EXPORT int INTERPOSED(sigprocmask)(int how, const sigset_t *set, sigset_t *old_set)
{
	real_resolve();
	return set_mask(real.sigprocmask, how, set, old_set);
}
