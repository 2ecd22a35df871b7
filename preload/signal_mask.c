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
#define BIT_OF(number) (UINT64_C(1) << ((number)-1))
#define SIGPROF_BIT BIT_OF(SIGPROF)
/*
 * Not a witness: SIGPROF itself, what cannot be blocked, and libc's own two, which it never blocks for
 * a program.
 */
#define NO_WITNESS (SIGPROF_BIT | BIT_OF(SIGKILL) | BIT_OF(SIGSTOP) | BIT_OF(32) | BIT_OF(33))

static uint64_t word_of(const sigset_t *set)
{
	uint64_t word; /* all of it that is the kernel's */
	memcpy(&word, set, sizeof word);
	return word;
}

/* Of what is blocked along with SIGPROF. */
static uint8_t witness_among(uint64_t mask)
{
	uint64_t others = mask & ~NO_WITNESS;
	return (uint8_t)(others ? __builtin_ctzll(others) + 1 : SIGPROF);
}

uint8_t signal_mask_witness_of(const sigset_t *set)
{
	uint64_t mask = word_of(set);
	return mask & SIGPROF_BIT ? witness_among(mask) : 0;
}

bool signal_mask_is_closed(const sigset_t *actual)
{
	uint8_t witness = thread_tls.sigprof_witness;
	return witness && (witness == SIGPROF || word_of(actual) & BIT_OF(witness));
}

void signal_mask_open_sigprof(void)
{
	if (!signals_own_sigprof() || thread_tls.sigprof_is_programs || !process_may_call())
		return;
	uint64_t only_sigprof = SIGPROF_BIT;
	uint64_t old = 0;
	(void)sys_call4(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&only_sigprof, (long)&old,
			KERNEL_SIGSET_BYTES);
	if (old & SIGPROF_BIT)
		thread_tls.sigprof_witness = witness_among(old);
}

void signal_mask_give_up_sigprof(siginfo_t *info, ucontext_t *context)
{
	cpu_timer_stop(); /* else its signals would be taken for the program's */
	segment_count(CPROF_THREADS_NO_TIMER, 1);
	thread_tls.sigprof_is_programs = true;
	thread_tls.sigprof_witness = 0;
	uint64_t mask = word_of(&context->uc_sigmask) | SIGPROF_BIT;
	memcpy(&context->uc_sigmask, &mask, sizeof mask);
	long pid = sys_call0(SYS_getpid);
	if (info->si_code == SI_TKILL)
		(void)sys_call4(SYS_rt_tgsigqueueinfo, pid, thread_id(), SIGPROF, (long)info);
	else if (sys_call3(SYS_rt_sigqueueinfo, pid, SIGPROF, (long)info) != 0)
		(void)sys_call2(SYS_kill, pid,
				SIGPROF); /* only the main thread may say that the kernel sent it */
}

/* What the program will believe about SIGPROF after this call. */
static bool will_be_closed(int how, const sigset_t *set, bool was_closed)
{
	bool names_sigprof = sigismember(set, SIGPROF) == 1;
	if (how == SIG_SETMASK)
		return names_sigprof;
	return names_sigprof ? how == SIG_BLOCK : was_closed;
}

/* What is blocked after the call, which was made with `before` in force. */
static uint64_t mask_after(int how, const sigset_t *set, const sigset_t *before)
{
	if (how == SIG_SETMASK)
		return word_of(set);
	return how == SIG_BLOCK ? word_of(before) | word_of(set) : word_of(before) & ~word_of(set);
}

/* Either mask function: `next` is the real one. */
static int set_mask(int (*next)(int, const sigset_t *, sigset_t *), int how, const sigset_t *set,
		    sigset_t *old_set)
{
	if (!signals_own_sigprof() || thread_tls.sigprof_is_programs)
		return next(how, set, old_set);
	bool had_witness = thread_tls.sigprof_witness != 0;
	bool has_witness = set ? will_be_closed(how, set, had_witness) : had_witness;
	/* Of a vfork child nothing is noted: it is its parent's. */
	bool is_noted = set && (had_witness || has_witness) && !process_is_vfork_child();
	if (had_witness != has_witness && !is_noted)
		return next(how, set, old_set);
	sigset_t open_set, wanted, before;
	if (set) {
		open_set = wanted = *set; /* it and old_set may be one */
		if (how != SIG_UNBLOCK)
			(void)sigdelset(&open_set, SIGPROF);
	}
	if (!old_set)
		old_set = &before;
	int result = next(how, set ? &open_set : NULL, old_set);
	if (result != 0)
		return result;
	bool was_closed = signal_mask_is_closed(old_set);
	if (is_noted && will_be_closed(how, &wanted, was_closed))
		thread_tls.sigprof_witness = witness_among(mask_after(how, &wanted, old_set));
	else if (is_noted && (how == SIG_SETMASK || sigismember(&wanted, SIGPROF) == 1))
		thread_tls.sigprof_witness = 0;
	/* Else it was not closed: if only for a handler's time, as in sigsuspend(), it will be again. */
	if (was_closed)
		(void)sigaddset(old_set, SIGPROF);
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
