/* SPDX-License-Identifier: MIT */
/*
 * What needs system calls is had before.  A filter that has no room for rt_sigreturn ends CPU
 * sampling where it reaches: the timer of the thread is deleted; those of other threads,
 * which only they know, send a signal that is ignored.
 *
 * Context: as the interposed functions.
 */
#include "confinement.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "cpu_timer.h"
#include "process.h"
#include "seccomp_filter.h"
#include "segment.h"
#include "signals.h"
#include "thread.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

static bool lets_handlers_return(uint64_t filter)
{
	const struct seccomp_data call = {.nr = SYS_rt_sigreturn, .arch = ARCHITECTURE};
	return filter == 0 || seccomp_filter_allows(filter, &call);
}

static void end_sampling(enum confinement_reach reach)
{
	if (reach == CONFINEMENT_OF_ALL)
		signals_ignore_sigprof();
	if (!thread_tls.has_timer)
		return;
	cpu_timer_stop();
	if (process_is_recording())
		segment_count(CPROF_THREADS_NO_TIMER, 1);
}

void confinement_enter(uint64_t filter, enum confinement_reach reach)
{
	int saved_errno = errno;
	process_before_confinement();
	/* A vfork child has no timers; those that are known here are its parent's. */
	if (process_may_call() && !process_is_vfork_child() && !lets_handlers_return(filter))
		end_sampling(reach);
	process_forbid_syscalls();
	errno = saved_errno;
}
