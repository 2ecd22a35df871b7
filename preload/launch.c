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
 * Context: any (async-signal-safe), one thread at a time.
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
#define ENVIRONMENT_BYTES 8192
/* Descriptors moved out of the way of 0 to 3 go here or above. */
#define SAFE_FD 10
#define BACKLOG 4096
/* The collector-to-be says who it is within its first instructions; a machine may be busy. */
#define APPEAR_SLICE_MS 100
#define APPEAR_SLICES 20
/* In place of its pid: it could not be made. */
#define NO_COLLECTOR UINT32_MAX

/* Set at load: the program may change its environment, and a handler must not look there. */
static char library[CPROF_PATH_BYTES];
static const char *collector_environment[ENVIRONMENT_MAX];

enum stderr_use { STDERR_IS_KEPT, STDERR_IS_LEFT };

static bool can_execute(const char *path)
{
	return sys_call4(SYS_faccessat, AT_FDCWD, (long)path, 1 /* X_OK */, 0) == 0;
}

bool launch_find_collector(char *out_path, size_t capacity)
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
		text_add_bytes(&path, library, (size_t)(text_basename(library) - library));
		text_add(&path, places[i]);
		if (!path.is_cut && can_execute(out_path))
			return true;
	}
	return false;
}

/* Whether the collector needs it of the program's environment; never LD_PRELOAD. */
static bool is_for_collector(const char *entry)
{
	static const char *const wanted[] = {"CPROF_", "HOME=", "PATH=", "TMPDIR=",       "XDG_",
					     "LANG=",  "LC_",   "TZ=",   "ASAN_OPTIONS=", "UBSAN_OPTIONS="};
	if (text_after(entry, CPROF_SESSION_ENV "=") || text_after(entry, "CPROF_OUT="))
		return false;
	bool take = config.debuginfod && text_after(entry, "DEBUGINFOD_");
	for (size_t i = 0; i < ARRAY_LENGTH(wanted); i++)
		take = take || text_after(entry, wanted[i]);
	return take;
}

void launch_prepare(const char *library_path, char *const *environment)
{
	static SPARSE char strings[ENVIRONMENT_BYTES];
	struct text text;
	text_init(&text, library, sizeof library);
	text_add(&text, library_path);
	text_init(&text, strings, sizeof strings);
	/* Absolute; what the segment says of it the program may write over. */
	text_add(&text, "CPROF_OUT=");
	text_add(&text, config.out_dir);
	text_add_bytes(&text, "", 1);
	size_t count = 1; /* the first is the session's */
	if (!text.is_cut)
		collector_environment[count++] = strings;
	for (; *environment && count + 1 < ENVIRONMENT_MAX; environment++) {
		size_t start = text.length;
		if (!is_for_collector(*environment))
			continue;
		text_add(&text, *environment);
		text_add_bytes(&text, "", 1);
		if (text.is_cut)
			break;
		collector_environment[count++] = strings + start;
	}
	collector_environment[count] = NULL;
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
static _Noreturn void become_collector(const char *path, int listen_fd, enum stderr_use use)
{
	(void)sys_call2(SYS_listen, listen_fd, BACKLOG);
	announce((uint32_t)sys_call0(SYS_getpid));
	lift_limits(); /* first: descriptors are moved beyond what the program may use */
	listen_fd = (int)sys_call3(SYS_fcntl, listen_fd, F_DUPFD, SAFE_FD);
	int null_fd = (int)sys_call4(SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDWR, 0);
	int safe_null_fd = (int)sys_call3(SYS_fcntl, null_fd, F_DUPFD, SAFE_FD);
	duplicate_to(safe_null_fd, 0);
	duplicate_to(safe_null_fd, 1);
	/* Later than at load it may be any file of the program's. */
	if (use == STDERR_IS_LEFT || sys_call2(SYS_fcntl, 2, F_GETFD) < 0 || null_fd == 2)
		duplicate_to(safe_null_fd, 2);
	duplicate_to(listen_fd, CPROF_COLLECTOR_LISTEN_FD);
	close_from(CPROF_COLLECTOR_LISTEN_FD + 1);
	(void)sys_call0(SYS_setsid);
	struct sched_param normal = {.sched_priority = 0};
	(void)sys_call3(SYS_sched_setscheduler, 0, SCHED_OTHER, (long)&normal);
	uint64_t no_signals = 0;
	(void)sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&no_signals, 0, KERNEL_SIGSET_BYTES);
	const char *const arguments[] = {path, "--serve", NULL};
	long error = sys_call3(SYS_execve, (long)path, (long)arguments, (long)collector_environment);
	if (use == STDERR_IS_KEPT)
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
static _Noreturn void run_stub(const char *path, int listen_fd, enum stderr_use use, bool stays)
{
	long pid = sys_call5(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		become_collector(path, listen_fd, use);
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

/* Starts it; 0 or -errno. */
static long launch(const char *path, int listen_fd, enum stderr_use use)
{
	static char session_entry[160]; /* one thread at a time gets here */
	session_format(session_entry, sizeof session_entry);
	collector_environment[0] = session_entry;
	bool stays = adopts_orphans();
	uint64_t all_signals = UINT64_MAX;
	uint64_t old_signals = 0;
	/* The program's handlers must not run in the stub. */
	(void)sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all_signals, (long)&old_signals,
			KERNEL_SIGSET_BYTES);
	long pid = sys_call5(SYS_clone, 0, 0, 0, 0, 0);
	if (pid == 0)
		run_stub(path, listen_fd, use, stays);
	if (pid > 0 && !stays)
		while (sys_call4(SYS_wait4, pid, 0, __WCLONE, 0) == -EINTR)
			;
	long error = pid < 0 ? pid : 0;
	if (!error && use == STDERR_IS_KEPT && !wait_for_collector())
		error = -EAGAIN;
	(void)sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old_signals, 0, KERNEL_SIGSET_BYTES);
	return error;
}

int launch_collector(const char *path, int listen_fd)
{
	return (int)launch(path, listen_fd, STDERR_IS_KEPT);
}

int launch_another(int listen_fd)
{
	static SPARSE char path[CPROF_PATH_BYTES]; /* not on a handler's stack; one thread at a time */
	if (!launch_find_collector(path, sizeof path))
		return -ENOENT;
	return (int)launch(path, listen_fd, STDERR_IS_LEFT);
}
