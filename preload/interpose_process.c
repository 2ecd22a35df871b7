/* SPDX-License-Identifier: MIT */
/*
 * What changes the process: fork, the ends of its life, giving up rights, unloading
 * libraries.  Signals that the program sends are passed on, and noted in a trace.
 *
 * Context: as the real functions.
 */
#include <errno.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "confinement.h"
#include "cprof_compiler.h"
#include "cpu_timer.h"
#include "modules.h"
#include "process.h"
#include "real.h"
#include "session.h"
#include "sys.h"
#include "thread.h"
#include "trace.h"
#include "trace_life.h"

#define KERNEL_SIGSET_BYTES 8

/*
 * A CPU-bound child that allocates nothing would have no first sample: timers are not
 * inherited.  The child is registered by that first sample, not here: one that execs at
 * once pays for the timer alone.
 */
static void begin_child(bool parent_may_record)
{
	if (!parent_may_record || process_is_recording())
		return;
	process_set_forked();
	cpu_timer_start_in_child();
}

/* As `real_fork` does it, which may be of a libc that has none. */
static pid_t fork_by(pid_t (*real_fork)(void))
{
	bool may_record = process_may_record() && process_may_call();
	/*
	 * A timer that expires during a long fork makes the kernel begin it again, and
	 * with a large program never finish it: the signal waits until it is done.
	 */
	uint64_t sigprof = UINT64_C(1) << (SIGPROF - 1);
	uint64_t old_mask = 0;
	if (may_record)
		(void)sys_call4(SYS_rt_sigprocmask, SIG_BLOCK, (long)&sigprof, (long)&old_mask,
				KERNEL_SIGSET_BYTES);
	pid_t pid = real_fork();
	if (pid == 0)
		begin_child(may_record);
	/* Nothing else: the program's fork handlers may have changed the mask. */
	if (may_record && !(old_mask & sigprof))
		(void)sys_call4(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&sigprof, 0, KERNEL_SIGSET_BYTES);
	return pid;
}

EXPORT pid_t INTERPOSED(fork)(void)
{
	real_resolve();
	pid_t pid = fork_by(real.fork);
	if (pid > 0)
		TRACE_LIFE_NOTE(fork, trace_life_forked, (uint32_t)pid);
	return pid;
}

/* Without the program's fork handlers, and to be called from signal handlers too. */
EXPORT pid_t INTERPOSED(_Fork)(void)
{
	real_resolve();
	if (!real._Fork) {
		errno = ENOSYS;
		return -1;
	}
	pid_t pid = fork_by(real._Fork);
	if (pid > 0)
		TRACE_LIFE_NOTE(_Fork, trace_life_forked, (uint32_t)pid);
	return pid;
}

/* Forks inside libc; it is the child that comes back. */
EXPORT int INTERPOSED(daemon)(int keeps_directory, int keeps_files)
{
	real_resolve();
	bool may_record = process_may_record() && process_may_call();
	int result = real.daemon(keeps_directory, keeps_files);
	if (result == 0)
		begin_child(may_record);
	return result;
}

/* ---- signals that the program sends ------------------------------------------------------------ */

#define DEFINE_SIGNALLING(name, parameters, arguments, note, number, target) \
	EXPORT int INTERPOSED(name) parameters                               \
	{                                                                    \
		real_resolve();                                              \
		TRACE_LIFE_NOTE(name, note, number, target);                 \
		return real.name arguments;                                  \
	}

DEFINE_SIGNALLING(kill, (pid_t pid, int number), (pid, number), trace_life_signals, number, pid)
DEFINE_SIGNALLING(killpg, (pid_t group, int number), (group, number), trace_life_signals, number,
		  -(int64_t)group)
DEFINE_SIGNALLING(sigqueue, (pid_t pid, int number, const union sigval value), (pid, number, value),
		  trace_life_signals, number, pid)
DEFINE_SIGNALLING(raise, (int number), (number), trace_life_signals_thread, number, (uint64_t)pthread_self())
DEFINE_SIGNALLING(pthread_kill, (pthread_t thread, int number), (thread, number), trace_life_signals_thread,
		  number, (uint64_t)thread)
DEFINE_SIGNALLING(pthread_sigqueue, (pthread_t thread, int number, const union sigval value),
		  (thread, number, value), trace_life_signals_thread, number, (uint64_t)thread)

EXPORT int INTERPOSED(tgkill)(pid_t process, pid_t thread, int number)
{
	real_resolve();
	if (!real.tgkill) {
		errno = ENOSYS;
		return -1;
	}
	TRACE_LIFE_NOTE(tgkill, trace_life_signals_tid, number, (uint32_t)thread, (uint32_t)process);
	return real.tgkill(process, thread, number);
}

/* ---- the end, rights, libraries ------------------------------------------------------------------ */

EXPORT void INTERPOSED(_exit)(int status)
{
	real_resolve();
	process_finish();
	real._exit(status);
	__builtin_unreachable();
}

void INTERPOSED(_Exit)(int status);
EXPORT void INTERPOSED(_Exit)(int status)
{
	INTERPOSED(_exit)(status);
}

EXPORT int INTERPOSED(dlclose)(void *handle)
{
	real_resolve();
	int result = real.dlclose(handle);
	if (process_is_recording())
		modules_after_dlclose();
	return result;
}

/* After these a forked child might not be able to register any more. */
#define DEFINE_CONFINING(name, parameters, arguments) \
	EXPORT int INTERPOSED(name) parameters        \
	{                                             \
		real_resolve();                       \
		process_before_confinement();         \
		return real.name arguments;           \
	}

DEFINE_CONFINING(setuid, (uid_t user), (user))
DEFINE_CONFINING(seteuid, (uid_t user), (user))
DEFINE_CONFINING(setreuid, (uid_t user, uid_t effective), (user, effective))
DEFINE_CONFINING(setresuid, (uid_t user, uid_t effective, uid_t saved), (user, effective, saved))
DEFINE_CONFINING(setgid, (gid_t group), (group))
DEFINE_CONFINING(setegid, (gid_t group), (group))
DEFINE_CONFINING(setregid, (gid_t group, gid_t effective), (group, effective))
DEFINE_CONFINING(setresgid, (gid_t group, gid_t effective, gid_t saved), (group, effective, saved))
DEFINE_CONFINING(chroot, (const char *path), (path))

EXPORT int INTERPOSED(unshare)(int flags)
{
	real_resolve();
	process_before_confinement();
	session_leave_network();
	return real.unshare(flags);
}

EXPORT int INTERPOSED(setns)(int fd, int type)
{
	real_resolve();
	process_before_confinement();
	session_leave_network();
	return real.setns(fd, type);
}

/* Variadic in the header, but always these five words. */
EXPORT int INTERPOSED(prctl)(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	real_resolve();
	if (option == PR_SET_SECCOMP)
		confinement_enter(a == SECCOMP_MODE_FILTER ? b : 0, CONFINEMENT_OF_THREAD);
	if (option == PR_SET_PTRACER)
		session_leave_tracer();
	int result = real.prctl(option, a, b, c, d);
	if (option == PR_SET_NAME && result == 0)
		trace_life_thread_is_named();
	return result;
}
