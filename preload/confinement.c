/* SPDX-License-Identifier: MIT */
/*
 * What needs system calls is had before.  A filter that has no room for rt_sigreturn ends CPU
 * sampling where it reaches: the timer of the thread is deleted; those of other threads,
 * which only they know, send a signal that is ignored.  It need not be the first: filters add
 * up, and each is looked at while those before it let us do all this.
 *
 * Context: as the interposed functions.
 */
#include "confinement.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "cprof_atomic.h"
#include "cprof_compiler.h"
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

/* What it takes to look at a filter, and to end sampling. */
static const int calls_needed[] = {SYS_getpid, SYS_process_vm_readv, SYS_timer_delete, SYS_rt_sigaction};

/* One that was entered does not allow them. */
static atomic_u32 is_tight;

static bool allows(uint64_t filter, int number)
{
	const struct seccomp_data call = {.nr = number, .arch = ARCHITECTURE};
	return seccomp_filter_allows(filter, &call);
}

static bool allows_what_is_needed(uint64_t filter)
{
	bool does = filter != 0;
	for (size_t i = 0; does && i < ARRAY_LENGTH(calls_needed); i++)
		does = allows(filter, calls_needed[i]);
	return does;
}

static void end_sampling(enum confinement_reach reach)
{
	if (reach == CONFINEMENT_OF_ALL)
		signals_ignore_sigprof();
	if (!thread_tls.has_timer)
		return;
	cpu_timer_delete();
	if (process_is_recording())
		segment_count(CPROF_THREADS_NO_TIMER, 1);
}

void confinement_enter(uint64_t filter, enum confinement_reach reach)
{
	int saved_errno = errno;
	process_before_confinement();
	/* A vfork child has no timers; those that are known here are its parent's. */
	if (load_relaxed(&is_tight) == 0 && !process_is_vfork_child()) { /* written before our own calls */
		if (filter != 0 && !allows(filter, SYS_rt_sigreturn))
			end_sampling(reach);
		if (!allows_what_is_needed(filter))
			store_relaxed(&is_tight, UINT32_C(1)); /* likewise */
	}
	process_forbid_syscalls();
	errno = saved_errno;
}
