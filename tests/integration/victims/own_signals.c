/* SPDX-License-Identifier: MIT */
/*
 * A program that uses the signals and timers that cprof uses too, and checks that
 * each call behaves as it does without.
 *
 *     own_signals
 *
 * Prints one line for each observation; the same lines plain and under cprof.
 *
 * Context: test program.
 */
#include "victim.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t prof_count, usr1_count, usr2_count, info_ok;

static void on_prof(int signal) { prof_count += signal == SIGPROF; }
static void on_prof_again(int signal) { prof_count += 1000 * (signal == SIGPROF); }
static void on_usr1(int signal) { usr1_count += signal == SIGUSR1; }

static void on_usr2_info(int signal, siginfo_t *info, void *context)
{
	usr2_count += signal == SIGUSR2;
	info_ok += info->si_pid == getpid() && context != NULL;
}

FRAME void spin_own(int64_t ns) { spin_cpu_ns(ns); }

static const char *describe(const struct sigaction *action)
{
	return action->sa_handler == SIG_DFL	? "default"
	       : action->sa_handler == SIG_IGN	? "ignore"
	       : action->sa_handler == on_prof	? "on_prof"
	       : action->sa_handler == on_prof_again ? "on_prof_again"
	       : action->sa_handler == on_usr1	? "on_usr1"
						: "other";
}

static void *blocked_thread(void *unused)
{
	sigset_t all, seen;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	pthread_sigmask(SIG_BLOCK, NULL, &seen);
	printf("thread sees prof %d usr1 %d\n", sigismember(&seen, SIGPROF), sigismember(&seen, SIGUSR1));
	spin_own(50000000);
	return unused;
}

int main(void)
{
	struct sigaction action, old;

	/* Dispositions before anything was set. */
	sigaction(SIGPROF, NULL, &old);
	printf("prof at start %s %x\n", describe(&old), (unsigned)old.sa_flags);
	sigaction(SIGUSR1, NULL, &old);
	printf("usr1 at start %s %x\n", describe(&old), (unsigned)old.sa_flags);

	/* An own SIGPROF handler with an own timer. */
	memset(&action, 0, sizeof action);
	action.sa_handler = on_prof;
	action.sa_flags = SA_RESTART;
	sigaction(SIGPROF, &action, &old);
	printf("prof was %s\n", describe(&old));
	const struct itimerval every = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
	setitimer(ITIMER_PROF, &every, NULL);
	spin_own(300000000);
	setitimer(ITIMER_PROF, &never, NULL);
	/* 30 by the timer's period; the kernel's tick makes it some fewer, a busy machine many, cprof's signals 75 more. */
	printf("own timer ticks %s\n", prof_count >= 1 && prof_count <= 45 ? "as set" : "disturbed");
	if (!(prof_count >= 1 && prof_count <= 45))
		printf("count %d\n", (int)prof_count);
	sigaction(SIGPROF, NULL, &old);
	printf("prof is %s %x\n", describe(&old), (unsigned)old.sa_flags & (unsigned)~0x4000000);
	prof_count = 0;
	raise(SIGPROF);
	kill(getpid(), SIGPROF);
	printf("raised prof %d\n", (int)prof_count);
	printf("signal() gives %s\n", signal(SIGPROF, on_prof_again) == on_prof ? "on_prof" : "other");
	prof_count = 0;
	raise(SIGPROF);
	printf("raised prof %d\n", (int)prof_count);
	printf("signal() gives %s\n", signal(SIGPROF, SIG_IGN) == on_prof_again ? "on_prof_again" : "other");
	raise(SIGPROF);
	printf("ignored prof %d\n", (int)prof_count);
	spin_own(50000000);

	/* An own SIGUSR1 handler. */
	action.sa_handler = on_usr1;
	sigaction(SIGUSR1, &action, &old);
	printf("usr1 was %s\n", describe(&old));
	raise(SIGUSR1);
	printf("raised usr1 %d\n", (int)usr1_count);
	sigaction(SIGUSR1, NULL, &old);
	printf("usr1 is %s\n", describe(&old));

	/* SA_SIGINFO, SA_RESETHAND. */
	memset(&action, 0, sizeof action);
	action.sa_sigaction = on_usr2_info;
	action.sa_flags = SA_SIGINFO | (int)SA_RESETHAND;
	sigaction(SIGUSR2, &action, NULL);
	raise(SIGUSR2);
	sigaction(SIGUSR2, NULL, &old);
	printf("usr2 %d info %d then %s\n", (int)usr2_count, (int)info_ok, describe(&old));

	/* Masks: what was set is what is seen. */
	sigset_t set, seen;
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &seen);
	printf("old mask prof %d usr1 %d\n", sigismember(&seen, SIGPROF), sigismember(&seen, SIGUSR1));
	sigprocmask(SIG_BLOCK, NULL, &seen);
	printf("mask prof %d usr1 %d\n", sigismember(&seen, SIGPROF), sigismember(&seen, SIGUSR1));
	usr1_count = 0;
	raise(SIGUSR1);
	sigset_t pending;
	sigpending(&pending);
	printf("pending usr1 %d got %d\n", sigismember(&pending, SIGUSR1), (int)usr1_count);
	sigdelset(&set, SIGPROF);
	pthread_sigmask(SIG_UNBLOCK, &set, &seen);
	printf("old mask prof %d usr1 %d, got %d\n", sigismember(&seen, SIGPROF), sigismember(&seen, SIGUSR1),
	       (int)usr1_count);
	sigemptyset(&set);
	pthread_sigmask(SIG_SETMASK, &set, &seen);
	printf("old mask prof %d usr1 %d\n", sigismember(&seen, SIGPROF), sigismember(&seen, SIGUSR1));
	pthread_sigmask(SIG_SETMASK, NULL, &seen);
	printf("mask prof %d\n", sigismember(&seen, SIGPROF));
	printf("bad how %d\n", pthread_sigmask(12345, &set, NULL) == EINVAL);

	/* A child inherits the mask as the program set it, and an exec'd one too. */
	sigaddset(&set, SIGPROF);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	fflush(stdout);
	const pid_t child = fork();
	if (child == 0) {
		sigprocmask(SIG_BLOCK, NULL, &seen);
		printf("child mask prof %d hup %d usr1 %d\n", sigismember(&seen, SIGPROF), sigismember(&seen, SIGHUP),
		       sigismember(&seen, SIGUSR1));
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);

	/* Waiting for signals. */
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	int got = 0;
	const int waited = sigwait(&set, &got);
	printf("sigwait %d %d\n", waited, got == SIGUSR1);
	usr1_count = 0;
	raise(SIGUSR1);
	sigset_t none;
	sigemptyset(&none);
	printf("sigsuspend %d", sigsuspend(&none));
	printf(" %s got %d\n", strerrorname_np(errno), (int)usr1_count);
	raise(SIGUSR1);
	const struct timespec now = {0, 0};
	printf("sigtimedwait %d", sigtimedwait(&set, NULL, &now) == SIGUSR1);
	printf(" then %d\n", sigtimedwait(&set, NULL, &now));
	/* pselect with a mask of its own. */
	raise(SIGUSR1);
	usr1_count = 0;
	printf("pselect %d", pselect(0, NULL, NULL, NULL, NULL, &none));
	printf(" %s got %d\n", strerrorname_np(errno), (int)usr1_count);
	sigprocmask(SIG_UNBLOCK, &set, NULL);

	/* Slow calls are not interrupted by sampling. */
	pthread_t thread;
	pthread_create(&thread, NULL, blocked_thread, NULL);
	const struct timespec nap = {0, 100000000};
	struct timespec left;
	printf("nanosleep %d\n", nanosleep(&nap, &left));
	pthread_join(thread, NULL);
	int ends[2];
	if (pipe(ends))
		return 1;
	fflush(stdout);
	const pid_t writer = fork();
	if (writer == 0) {
		spin_own(100000000);
		_exit(write(ends[1], "x", 1) != 1);
	}
	char c;
	printf("read %d\n", (int)read(ends[0], &c, 1));
	waitpid(writer, NULL, 0);

	/* Taking SIGPROF back to its default would end the program: it does without cprof. */
	fflush(stdout);
	const pid_t dying = fork();
	if (dying == 0) {
		signal(SIGPROF, SIG_DFL);
		kill(getpid(), SIGPROF);
		usleep(100000);
		_exit(0);
	}
	int status;
	waitpid(dying, &status, 0);
	printf("default prof ends it: %d\n", WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF);
	return 0;
}
