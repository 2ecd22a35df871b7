/* SPDX-License-Identifier: MIT */
/*
 * A clone without an exit signal is invisible to wait(), but exec resets the signal
 * to SIGCHLD.  So a stub is cloned that never execs, and the stub forks the collector.
 * The stub then ends, is reaped here with __WCLONE, and the collector falls to init;
 * if that is this process (PID 1 of its namespace, or a subreaper), the stub stays as
 * the collector's parent instead, holding nothing.
 *
 * Stub and collector-to-be run between clone and exec on a copy of a program that may
 * be in any state: only raw system calls there.
 *
 * Context: init.
 */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "config.h"
#include "cprof_wire.h"
#include "segment.h"
#include "session.h"
#include "sys.h"
#include "text.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define KERNEL_SIGSET_BYTES 8
#define ENVIRONMENT_MAX 64
/* Descriptors moved out of the way of 0 to 3 go here or above. */
#define SAFE_FD 10
#define BACKLOG 4096
/* The collector-to-be says who it is within its first instructions; a machine may be busy. */
#define APPEAR_SLICE_MS 100
#define APPEAR_SLICES 20
/* In place of its pid: it could not be made. */
#define NO_COLLECTOR UINT32_MAX

static bool can_execute(const char *path)
{
	return sys_call4(SYS_faccessat, AT_FDCWD, (long)path, 1 /* X_OK */, 0) == 0;
}

bool launch_find_collector(const char *library_path, char *out_path, size_t capacity)
{
	struct text path;
	text_init(&path, out_path, capacity);
	if (config.collector) {
		text_add(&path, config.collector);
		return !path.is_cut && can_execute(out_path);
	}
	static const char *const places[] = {"cprof-collector", "../libexec/cprof/cprof-collector"};
	for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
		text_init(&path, out_path, capacity);
		text_add_bytes(&path, library_path, (size_t)(text_basename(library_path) - library_path));
		text_add(&path, places[i]);
		if (!path.is_cut && can_execute(out_path))
			return true;
	}
	return false;
}

/* What the collector needs of the program's environment; never LD_PRELOAD. */
static void select_environment(char *const *environment, char *session_entry, const char **out_environment)
{
	static const char *const wanted[] = {"CPROF_", "HOME=", "PATH=", "TMPDIR=",       "XDG_",
					     "LANG=",  "LC_",   "TZ=",   "ASAN_OPTIONS=", "UBSAN_OPTIONS="};
	size_t count = 0;
	out_environment[count++] = session_entry;
	for (; *environment && count + 1 < ENVIRONMENT_MAX; environment++) {
		if (text_after(*environment, CPROF_SESSION_ENV "="))
			continue;
		bool take = config.debuginfod && text_after(*environment, "DEBUGINFOD_");
		for (size_t i = 0; i < ARRAY_LENGTH(wanted); i++)
			take = take || text_after(*environment, wanted[i]);
		if (take)
			out_environment[count++] = *environment;
	}
	out_environment[count] = NULL;
}

/* The program's limits are not meant for the collector: up to what is allowed. */
static void lift_limits(void)
{
	static const int resources[] = {RLIMIT_AS,    RLIMIT_CPU,    RLIMIT_DATA,
					RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_STACK};
	for (size_t i = 0; i < ARRAY_LENGTH(resources); i++) {
		struct rlimit limit;
		if (sys_call4(SYS_prlimit64, 0, resources[i], 0, (long)&limit) == 0) {
			limit.rlim_cur = limit.rlim_max;
			(void)sys_call4(SYS_prlimit64, 0, resources[i], (long)&limit, 0);
		}
	}
}

static void close_from(unsigned int first)
{
	if (sys_call3(SYS_close_range, first, (long)UINT32_MAX, 0) == 0)
		return;
	struct rlimit limit = {.rlim_cur = 1024};
	(void)sys_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit);
	for (unsigned int fd = first; fd < limit.rlim_cur && fd < 65536; fd++)
		(void)sys_call1(SYS_close, fd);
}

static void duplicate_to(int fd, int target)
{
#ifdef SYS_dup2
	(void)sys_call2(SYS_dup2, fd, target);
#else
	(void)sys_call3(SYS_dup3, fd, target, 0);
#endif
}

static void announce(uint32_t pid)
{
	atomic_u32 *word = &segment_control()->collector_pid;
	store_release(word, pid); /* pairs with the acquire in wait_for_collector() */
	(void)sys_call6(SYS_futex, (long)word, FUTEX_WAKE, INT32_MAX, 0, 0, 0);
}

/*
 * In the collector-to-be: descriptors 0 to 3 as it expects them, nothing else, then exec.
 * Who connects to a socket is told who called listen() on it last: from here on the
 * collector, as which it is declared by those that it may have to look into
 * (session_register()).
 */
static _Noreturn void become_collector(const char *path, const char *const *environment, int listen_fd)
{
	(void)sys_call2(SYS_listen, listen_fd, BACKLOG);
	announce((uint32_t)sys_call0(SYS_getpid));
	lift_limits(); /* first: descriptors are moved beyond what the program may use */
	listen_fd = (int)sys_call3(SYS_fcntl, listen_fd, F_DUPFD, SAFE_FD);
	int null_fd = (int)sys_call4(SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDWR, 0);
	int safe_null_fd = (int)sys_call3(SYS_fcntl, null_fd, F_DUPFD, SAFE_FD);
	duplicate_to(safe_null_fd, 0);
	duplicate_to(safe_null_fd, 1);
	if (sys_call2(SYS_fcntl, 2, F_GETFD) < 0 || null_fd == 2)
		duplicate_to(safe_null_fd, 2);
	duplicate_to(listen_fd, CPROF_COLLECTOR_LISTEN_FD);
	close_from(CPROF_COLLECTOR_LISTEN_FD + 1);
	(void)sys_call0(SYS_setsid);
	struct sched_param normal = {.sched_priority = 0};
	(void)sys_call3(SYS_sched_setscheduler, 0, SCHED_OTHER, (long)&normal);
	uint64_t no_signals = 0;
	(void)sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&no_signals, 0, KERNEL_SIGSET_BYTES);
	const char *const arguments[] = {path, "--serve", NULL};
	long error = sys_call3(SYS_execve, (long)path, (long)arguments, (long)environment);
	LOG(LOG_ERROR, path, ": ", log_error_text(error), "; no profiles are written");
	for (;;)
		(void)sys_call1(SYS_exit_group, 127);
}

/* Whether orphans of this process's descendants become its children. */
static bool adopts_orphans(void)
{
	int is_subreaper = 0;
	(void)sys_call2(SYS_prctl, PR_GET_CHILD_SUBREAPER, (long)&is_subreaper);
	return is_subreaper || sys_call0(SYS_getpid) == 1;
}

/* In the stub. */
static _Noreturn void run_stub(const char *path, const char *const *environment, int listen_fd, bool stays)
{
	long pid = sys_call5(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		become_collector(path, environment, listen_fd);
	if (pid < 0)
		announce(NO_COLLECTOR);
	if (stays && pid > 0) {
		close_from(0);
		(void)sys_call2(SYS_munmap, (long)segment.base, (long)segment.geometry.segment_bytes);
		while (sys_call4(SYS_wait4, pid, 0, 0, 0) == -EINTR)
			;
	}
	for (;;)
		(void)sys_call1(SYS_exit_group, 0);
}

/* Until the collector-to-be has the socket.  False: there is none. */
static bool wait_for_collector(void)
{
	atomic_u32 *word = &segment_control()->collector_pid;
	uint32_t pid;
	for (int i = 0; (pid = load_acquire(word)) == 0 && i < APPEAR_SLICES; i++) {
		struct timespec slice = {.tv_nsec = APPEAR_SLICE_MS * 1000000};
		(void)sys_call6(SYS_futex, (long)word, FUTEX_WAIT, 0, (long)&slice, 0, 0);
	}
	if (pid == NO_COLLECTOR)
		store_relaxed(word, UINT32_C(0)); /* nobody else is there to read it */
	return pid != NO_COLLECTOR;
}

int launch_collector(const char *path, char *const *environment, int listen_fd)
{
	char session_entry[160];
	session_format(session_entry, sizeof session_entry);
	const char *collector_environment[ENVIRONMENT_MAX];
	select_environment(environment, session_entry, collector_environment);
	bool stays = adopts_orphans();
	uint64_t all_signals = UINT64_MAX;
	uint64_t old_signals = 0;
	/* The program's handlers must not run in the stub. */
	(void)sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all_signals, (long)&old_signals,
			KERNEL_SIGSET_BYTES);
	long pid = sys_call5(SYS_clone, 0, 0, 0, 0, 0);
	if (pid == 0)
		run_stub(path, collector_environment, listen_fd, stays);
	if (pid > 0 && !stays)
		while (sys_call4(SYS_wait4, pid, 0, __WCLONE, 0) == -EINTR)
			;
	bool is_there = pid > 0 && wait_for_collector();
	(void)sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old_signals, 0, KERNEL_SIGSET_BYTES);
	if (sys_is_error(pid))
		return (int)pid;
	return is_there ? 0 : -EAGAIN;
}
