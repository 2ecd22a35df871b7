/* SPDX-License-Identifier: MIT */
/*
 * What changes the process: fork, the ends of its life, giving up rights, unloading
 * libraries.  exec is passed on, and noted in a trace: a new image registers for itself.
 * So are signals that the program sends.
 *
 * Context: as the real functions.
 */
#include <alloca.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
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

/* Tells the trace, if one is taken, by `note` of this call of an interposed function. */
#define NOTE_CALL(name, note, ...)                                                                       \
	do {                                                                                             \
		if (unlikely(trace_is_on())) {                                                           \
			struct trace_life_call call_ = {.function = (const void *)(uintptr_t)real.name}; \
			unwind_regs_of_caller(&call_.regs);                                              \
			note(&call_, __VA_ARGS__);                                                       \
		}                                                                                        \
	} while (0)

EXPORT pid_t INTERPOSED(fork)(void)
{
	real_resolve();
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
	pid_t pid = real.fork();
	if (pid == 0)
		begin_child(may_record);
	/* Nothing else: the program's fork handlers may have changed the mask. */
	if (may_record && !(old_mask & sigprof))
		(void)sys_call4(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&sigprof, 0, KERNEL_SIGSET_BYTES);
	if (pid > 0)
		NOTE_CALL(fork, trace_life_forked, (uint32_t)pid);
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

#define DEFINE_EXEC(name, parameters, arguments)         \
	EXPORT int INTERPOSED(name) parameters           \
	{                                                \
		real_resolve();                          \
		NOTE_CALL(name, trace_life_execs, path); \
		return real.name arguments;              \
	}

DEFINE_EXEC(execve, (const char *path, char *const *words, char *const *environment),
	    (path, words, environment))
DEFINE_EXEC(execv, (const char *path, char *const *words), (path, words))
DEFINE_EXEC(execvp, (const char *path, char *const *words), (path, words))
DEFINE_EXEC(execvpe, (const char *path, char *const *words, char *const *environment),
	    (path, words, environment))

/*
 * These have their words as parameters, and in libc do not go through the symbols of those
 * above.  Like libc's they keep the words on the stack.
 */

/* How many there are, with the NULL that ends them. */
static size_t count_words(const char *first, va_list list)
{
	size_t count = 1;
	for (const char *word = first; word; word = va_arg(list, const char *))
		count++;
	return count;
}

static void take_words(char **out_words, size_t count, const char *first, va_list list)
{
	out_words[0] = (char *)(uintptr_t)first;
	for (size_t i = 1; i < count; i++)
		out_words[i] = va_arg(list, char *);
}

#define DEFINE_EXEC_LIST(name, passed_to, environment, ...)                   \
	int INTERPOSED(name)(const char *path, const char *first, ...);       \
	EXPORT int INTERPOSED(name)(const char *path, const char *first, ...) \
	{                                                                     \
		va_list list;                                                 \
		real_resolve();                                               \
		va_start(list, first);                                        \
		size_t count = count_words(first, list);                      \
		va_end(list);                                                 \
		char **words = alloca(count * sizeof *words);                 \
		va_start(list, first);                                        \
		take_words(words, count, first, list);                        \
		environment;                                                  \
		va_end(list);                                                 \
		NOTE_CALL(passed_to, trace_life_execs, path);                 \
		return real.passed_to(path, words, ##__VA_ARGS__);            \
	}

DEFINE_EXEC_LIST(execl, execv, (void)0)
DEFINE_EXEC_LIST(execlp, execvp, (void)0)
DEFINE_EXEC_LIST(execle, execve, char *const *variables = va_arg(list, char *const *), variables)

/* ---- signals that the program sends ------------------------------------------------------------ */

#define DEFINE_SIGNALLING(name, parameters, arguments, note, number, target) \
	EXPORT int INTERPOSED(name) parameters                               \
	{                                                                    \
		real_resolve();                                              \
		NOTE_CALL(name, note, number, target);                       \
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
