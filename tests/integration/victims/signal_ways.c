/* SPDX-License-Identifier: MIT */
// cflags: -Wno-deprecated-declarations
/*
 * The less common ways to set, block, wait for and leave SIGPROF, and other signals.
 *
 *     signal_ways WAY
 *
 * Prints what it sees; the same lines plain and under cprof.
 *
 * Context: test program.
 */
#include "victim.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t count, in_alarm, nested;
static sigjmp_buf back;
static atomic_int enough;

static void on_prof(int signal)
{
	count += signal == SIGPROF;
	nested += in_alarm;
}

static void on_prof_leave(int signal)
{
	(void)signal;
	siglongjmp(back, 1);
}

static void on_alarm(int signal)
{
	(void)signal;
	in_alarm = 1;
	raise(SIGPROF);
	spin_briefly();
	in_alarm = 0;
}

static sigset_t only_prof(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	return set;
}

static void block_prof(void)
{
	const sigset_t set = only_prof();
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int sees_prof_blocked(void)
{
	sigset_t seen;
	pthread_sigmask(SIG_BLOCK, NULL, &seen);
	return sigismember(&seen, SIGPROF);
}

/* CPython's vfork child resets all signals; memory is shared with the parent. */
static void way_vfork_resets(void)
{
	signal(SIGPROF, on_prof);
	const pid_t child = vfork();
	if (child == 0) {
		for (int s = 1; s < 32; s++)
			signal(s, SIG_DFL);
		execl("/bin/true", "true", (char *)NULL);
		_exit(1);
	}
	waitpid(child, NULL, 0);
	raise(SIGPROF);
	printf("handled %d\n", (int)count);
}

static void way_vfork_blocks(void)
{
	const pid_t child = vfork();
	if (child == 0) {
		block_prof();
		execl("/bin/true", "true", (char *)NULL);
		_exit(1);
	}
	waitpid(child, NULL, 0);
	printf("blocked %d\n", sees_prof_blocked());
}

static void way_blocked_fork(void)
{
	block_prof();
	fflush(stdout);
	const pid_t child = fork();
	if (child == 0) {
		const int blocked = sees_prof_blocked();
		raise(SIGPROF);
		_exit(blocked ? 0 : 1);
	}
	int status;
	waitpid(child, &status, 0);
	printf("child %x blocked %d\n", (unsigned)status, sees_prof_blocked());
	raise(SIGPROF);
	printf("alive\n");
}

static void way_jump(void)
{
	volatile int left = 0;
	signal(SIGPROF, on_prof_leave);
	for (volatile int i = 0; i < 3; i++)
		if (sigsetjmp(back, 1) == 0)
			raise(SIGPROF);
		else
			left++;
	printf("left %d times, blocked %d\n", left, sees_prof_blocked());
}

static void way_signalfd(void)
{
	block_prof();
	const sigset_t set = only_prof();
	struct pollfd ready = {signalfd(-1, &set, 0), POLLIN, 0};
	kill(getpid(), SIGPROF);
	struct signalfd_siginfo info = {0};
	printf("poll %d ", poll(&ready, 1, 5000));
	printf("read %d ", (int)read(ready.fd, &info, sizeof info));
	printf("signal %u from itself %d\n", info.ssi_signo, (pid_t)info.ssi_pid == getpid());
}

static void way_sigtimedwait(void)
{
	block_prof();
	const sigset_t set = only_prof();
	const struct timespec limit = {5, 0}, at_once = {0, 0};
	siginfo_t info = {0};
	kill(getpid(), SIGPROF);
	printf("sigtimedwait %d", sigtimedwait(&set, &info, &limit));
	printf(" from itself %d\n", info.si_pid == getpid());
	printf("no more: %d ", sigtimedwait(&set, NULL, &at_once));
	printf("%s\n", strerrorname_np(errno));
	kill(getpid(), SIGPROF);
	printf("sigwaitinfo %d\n", sigwaitinfo(&set, NULL));
}

static void way_sigpending(void)
{
	block_prof();
	sigset_t pending;
	sigpending(&pending);
	printf("pending %d", sigismember(&pending, SIGPROF));
	kill(getpid(), SIGPROF);
	sigpending(&pending);
	printf(" then %d\n", sigismember(&pending, SIGPROF));
}

static void *burn_until_enough(void *unused)
{
	while (!atomic_load(&enough))
		spin_briefly();
	return unused;
}

/* The ticks of its own profiling timer, waited for in one thread while another works. */
static void way_ticks(void)
{
	block_prof();
	const sigset_t set = only_prof();
	const struct itimerval every = {{0, 20000}, {0, 20000}};
	pthread_t thread;
	int ticks = 0, signal;
	pthread_create(&thread, NULL, burn_until_enough, NULL);
	setitimer(ITIMER_PROF, &every, NULL);
	while (ticks < 10 && sigwait(&set, &signal) == 0)
		ticks += signal == SIGPROF;
	atomic_store(&enough, 1);
	pthread_join(thread, NULL);
	printf("ticks %d\n", ticks);
}

static void way_sigset_default(void)
{
	for (int s = 1; s < 32; s++)
		sigset(s, SIG_DFL);
	spin_cpu_ns(300000000);
	printf("alive\n");
}

static const char *describe(void (*handler)(int))
{
	return handler == SIG_DFL    ? "default"
	       : handler == SIG_IGN  ? "ignore"
	       : handler == SIG_HOLD ? "hold"
	       : handler == on_prof  ? "on_prof"
				     : "other";
}

static void way_sysv(void)
{
	printf("sigset gives %s\n", describe(sigset(SIGPROF, on_prof)));
	raise(SIGPROF);
	spin_cpu_ns(100000000);
	printf("handled %d\n", (int)count);
	sighold(SIGPROF);
	raise(SIGPROF);
	printf("held: handled %d\n", (int)count);
	sigrelse(SIGPROF);
	printf("released: handled %d\n", (int)count);
	printf("sigset gives %s\n", describe(sigset(SIGPROF, SIG_HOLD)));
	printf("blocked %d\n", sees_prof_blocked());
	printf("sigset gives %s\n", describe(sigset(SIGPROF, on_prof)));
	printf("blocked %d\n", sees_prof_blocked());
	printf("sigignore %d\n", sigignore(SIGPROF));
	raise(SIGPROF);
	printf("ignored: handled %d\n", (int)count);
	printf("signal gives %s\n", describe(signal(SIGPROF, SIG_DFL)));
}

static void *say_blocked(void *where)
{
	printf("%s: blocked %d\n", (const char *)where, sees_prof_blocked());
	return NULL;
}

static void run_thread(const pthread_attr_t *attributes, const char *where)
{
	pthread_t thread;
	pthread_create(&thread, attributes, say_blocked, (void *)where);
	pthread_join(thread, NULL);
}

static void way_thread_mask(void)
{
	const sigset_t full = only_prof();
	sigset_t empty;
	sigemptyset(&empty);
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setsigmask_np(&attributes, &full);
	run_thread(&attributes, "by attribute");
	run_thread(NULL, "inherited");
	block_prof();
	pthread_attr_setsigmask_np(&attributes, &empty);
	run_thread(&attributes, "by attribute");
	run_thread(NULL, "inherited");
}

static void raise_alarm(const char *order)
{
	struct sigaction seen;
	count = nested = 0;
	raise(SIGALRM);
	sigaction(SIGALRM, NULL, &seen);
	printf("%s: handled %d nested %d mask %d\n", order, (int)count, (int)nested, sigismember(&seen.sa_mask, SIGPROF));
}

/* A handler that holds SIGPROF back, installed before and after SIGPROF's own. */
static void way_handler_mask(void)
{
	struct sigaction action = {.sa_handler = on_alarm};
	sigfillset(&action.sa_mask);
	sigaction(SIGALRM, &action, NULL);
	signal(SIGPROF, on_prof);
	raise_alarm("before");
	sigaction(SIGALRM, &action, NULL);
	raise_alarm("after");
	sigemptyset(&action.sa_mask);
	sigaction(SIGALRM, &action, NULL);
	raise_alarm("open");
}

static int answer_end;

static void on_alarm_answer(int signal)
{
	/* The first one interrupts; where it did not, the second ends the waiting. */
	if (signal == SIGALRM && ++count == 2)
		(void)!write(answer_end, "x", 1);
}

/* Whether a signal interrupts a read, for handlers that signal() installs. */
static void read_with_alarm(const char *when)
{
	const struct itimerval twice = {{0, 200000}, {0, 200000}}, never = {{0, 0}, {0, 0}};
	int ends[2];
	char byte;
	count = 0;
	if (pipe(ends))
		return;
	answer_end = ends[1];
	setitimer(ITIMER_REAL, &twice, NULL);
	const ssize_t n = read(ends[0], &byte, 1);
	printf("%s: read %d\n", when, (int)n);
	setitimer(ITIMER_REAL, &never, NULL);
	close(ends[0]);
	close(ends[1]);
}

static void way_siginterrupt(void)
{
	signal(SIGALRM, on_alarm_answer);
	read_with_alarm("as it is");
	siginterrupt(SIGALRM, 1);
	read_with_alarm("after siginterrupt");
	signal(SIGALRM, on_alarm_answer);
	read_with_alarm("signal after that");
	siginterrupt(SIGALRM, 0);
	read_with_alarm("undone");
	signal(SIGALRM, on_alarm_answer);
	read_with_alarm("signal after that");
	printf("of no signal: %d\n", siginterrupt(0, 1));
}

/* What signal() sets besides the handler, and what it refuses. */
static void way_signal(void)
{
	struct sigaction seen;
	signal(SIGALRM, on_prof);
	sigaction(SIGALRM, NULL, &seen);
	printf("flags %x, masks itself %d\n", (unsigned)seen.sa_flags, sigismember(&seen.sa_mask, SIGALRM));
	sigset(SIGALRM, on_prof);
	sigaction(SIGALRM, NULL, &seen);
	printf("flags %x, masks itself %d\n", (unsigned)seen.sa_flags, sigismember(&seen.sa_mask, SIGALRM));
	errno = 0;
	printf("SIG_ERR is refused: %d", signal(SIGALRM, SIG_ERR) == SIG_ERR);
	printf(" %s\n", strerrorname_np(errno));
	errno = 0;
	printf("SIG_ERR is refused: %d", sysv_signal(SIGALRM, SIG_ERR) == SIG_ERR);
	printf(" %s\n", strerrorname_np(errno));
	raise(SIGALRM);
	printf("alive\n");
}

static void block_usr2(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int sees_usr2_blocked(void)
{
	sigset_t seen;
	pthread_sigmask(SIG_BLOCK, NULL, &seen);
	return sigismember(&seen, SIGUSR2);
}

/* What is changed while the process forks stays changed. */
static void way_atfork_mask(void)
{
	pthread_atfork(NULL, block_usr2, block_usr2);
	fflush(stdout);
	const pid_t child = fork();
	if (child == 0)
		_exit(sees_usr2_blocked());
	int status;
	waitpid(child, &status, 0);
	printf("child %x parent %d\n", (unsigned)status, sees_usr2_blocked());
}

/* As a runtime that brings its own system calls does it: masks are set past libc. */
static void *open_past_libc(void *unused)
{
	const uint64_t nothing = 0;
	sigset_t seen, usr2;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &nothing, NULL, sizeof nothing);
	for (int i = 0; i < 5; i++)
		raise(SIGPROF);
	printf("opened: handled %d\n", (int)count);
	pthread_sigmask(SIG_BLOCK, NULL, &seen);
	printf("blocked %d\n", sigismember(&seen, SIGPROF));
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	sigaddset(&usr2, SIGPROF);
	pthread_sigmask(SIG_BLOCK, &usr2, &seen);
	raise(SIGPROF);
	printf("blocked %d, then: handled %d\n", sigismember(&seen, SIGPROF), (int)count);
	pthread_sigmask(SIG_UNBLOCK, &usr2, NULL);
	printf("open: handled %d\n", (int)count);
	return unused;
}

static void way_own_call(void)
{
	sigset_t full, before;
	pthread_t thread;
	signal(SIGPROF, on_prof);
	sigfillset(&full);
	pthread_sigmask(SIG_SETMASK, &full, &before);
	pthread_create(&thread, NULL, open_past_libc, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_join(thread, NULL);
	raise(SIGPROF);
	printf("main thread: handled %d\n", (int)count);
}

static const struct {
	const char *name;
	void (*run)(void);
} ways[] = {
	{"vfork-resets", way_vfork_resets},
	{"vfork-blocks", way_vfork_blocks},
	{"blocked-fork", way_blocked_fork},
	{"jump", way_jump},
	{"signalfd", way_signalfd},
	{"sigtimedwait", way_sigtimedwait},
	{"sigpending", way_sigpending},
	{"ticks", way_ticks},
	{"sigset-default", way_sigset_default},
	{"sysv", way_sysv},
	{"thread-mask", way_thread_mask},
	{"handler-mask", way_handler_mask},
	{"siginterrupt", way_siginterrupt},
	{"signal", way_signal},
	{"atfork-mask", way_atfork_mask},
	{"own-call", way_own_call},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof ways / sizeof *ways; i++)
		if (!strcmp(argv[1], ways[i].name)) {
			ways[i].run();
			return 3;
		}
	return 9;
}
