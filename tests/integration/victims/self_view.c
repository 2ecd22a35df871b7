/* SPDX-License-Identifier: MIT */
/*
 * Prints all that a program can see of itself and that a profiler could disturb.
 * Figures that differ from run to run anyway (ids, times) are not printed.
 *
 *     self_view [close-all]
 *
 * With `close-all` it first closes every descriptor from 3 to 1023, as daemons do.
 *
 * Context: test program.
 */
#include "victim.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void show_descriptors(void)
{
	for (int fd = 0; fd < 4096; fd++) {
		char path[64], target[512];
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		const ssize_t n = readlink(path, target, sizeof target - 1);
		if (n < 0)
			continue;
		target[n] = 0;
		char *colon = strchr(target, '[');
		if (colon)
			*colon = 0; /* pipe:[inode] */
		printf("fd %d %s\n", fd, target);
	}
}

static void show_tasks(void)
{
	DIR *tasks = opendir("/proc/self/task");
	int count = 0;
	for (struct dirent *d; (d = readdir(tasks)) != NULL;)
		if (isdigit((unsigned char)d->d_name[0]))
			count++;
	closedir(tasks);
	printf("tasks %d\n", count);
	char path[64], children[4096];
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	FILE *in = fopen(path, "r");
	const size_t n = in ? fread(children, 1, sizeof children - 1, in) : 0;
	children[n] = 0;
	if (in)
		fclose(in);
	printf("children '%s'\n", children);
	errno = 0;
	const pid_t waited = waitpid(-1, NULL, 0);
	printf("waitpid %d %s\n", (int)waited, strerrorname_np(errno));
	errno = 0;
	const pid_t cloned = waitpid(-1, NULL, __WALL | WNOHANG);
	printf("waitpid __WALL %d %s\n", (int)cloned, strerrorname_np(errno));
}

static void show_mask(const char *where)
{
	sigset_t mask, raw;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	printf("mask %s", where);
	for (int s = 1; s < 65; s++)
		if (sigismember(&mask, s) == 1)
			printf(" %d", s);
	sigemptyset(&raw);
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &raw, 8);
	printf("\nraw mask %s", where);
	for (int s = 1; s < 65; s++)
		if (sigismember(&raw, s) == 1 && s != SIGPROF)
			printf(" %d", s);
	sigset_t pending;
	sigpending(&pending);
	printf("\npending %s", where);
	for (int s = 1; s < 65; s++)
		if (sigismember(&pending, s) == 1)
			printf(" %d", s);
	stack_t stack;
	sigaltstack(NULL, &stack);
	printf("\naltstack %s %d %zu\n", where, stack.ss_flags, stack.ss_size);
}

static void show_signals(void)
{
	for (int s = 1; s < 65; s++) {
		struct sigaction action;
		if (sigaction(s, NULL, &action))
			continue;
		printf("signal %d %s flags %x\n", s,
		       action.sa_handler == SIG_DFL ? "default" : action.sa_handler == SIG_IGN ? "ignore" : "handler",
		       (unsigned)action.sa_flags);
		/* What the kernel has: the handlers that cprof documents show here. */
		struct {
			void *handler;
			unsigned long flags;
			void *restorer;
			unsigned long mask;
		} raw;
		if (syscall(SYS_rt_sigaction, s, NULL, &raw, 8) == 0)
			printf("raw signal %d %s\n", s,
			       raw.handler == (void *)SIG_DFL   ? "default"
			       : raw.handler == (void *)SIG_IGN ? "ignore"
								: "handler");
	}
}

static void *in_thread(void *unused)
{
	show_mask("in thread");
	char name[32];
	pthread_getname_np(pthread_self(), name, sizeof name);
	printf("thread name %s\n", name);
	return unused;
}

static void *in_blocked_thread(void *unused)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	show_mask("blocked thread");
	sigset_t none;
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, &old);
	printf("blocked thread old mask %d %d %d\n", sigismember(&old, SIGPROF), sigismember(&old, SIGUSR1),
	       sigismember(&old, SIGTERM));
	return unused;
}

static void show_limits(void)
{
	for (int r = 0; r < RLIM_NLIMITS; r++) {
		struct rlimit limit;
		if (getrlimit(r, &limit) == 0)
			printf("rlimit %d %lld %lld\n", r, (long long)limit.rlim_cur, (long long)limit.rlim_max);
	}
	printf("nice %d policy %d\n", getpriority(PRIO_PROCESS, 0), sched_getscheduler(0));
	cpu_set_t cpus;
	sched_getaffinity(0, sizeof cpus, &cpus);
	printf("cpus %d\n", CPU_COUNT(&cpus));
	printf("dumpable %d subreaper", prctl(PR_GET_DUMPABLE));
	int subreaper = -1;
	prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
	printf(" %d timerslack %d keepcaps %d\n", subreaper, prctl(PR_GET_TIMERSLACK), prctl(PR_GET_KEEPCAPS));
	int death_signal = -1;
	prctl(PR_GET_PDEATHSIG, &death_signal);
	char name[17] = {0};
	prctl(PR_GET_NAME, name);
	printf("pdeathsig %d name %s\n", death_signal, name);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "close-all"))
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
	printf("errno %d\n", errno);
	for (int i = 0; i < argc; i++)
		printf("argument %s\n", argv[i]);
	show_descriptors();
	show_tasks();
	show_mask("main");
	show_signals();
	pthread_t thread;
	pthread_create(&thread, NULL, in_thread, NULL);
	pthread_join(thread, NULL);
	pthread_create(&thread, NULL, in_blocked_thread, NULL);
	pthread_join(thread, NULL);
	show_tasks();
	char cwd[4096];
	printf("cwd %s\n", getcwd(cwd, sizeof cwd));
	const mode_t mask = umask(0);
	umask(mask);
	printf("umask %o\n", (unsigned)mask);
	show_limits();
	printf("own session %d own group %d group of parent %d\n", getsid(0) == getpid(), getpgrp() == getpid(),
	       getpgrp() == getpgid(getppid()));
	size_t count = 0;
	while (environ[count])
		count++;
	printf("environment\n");
	size_t ours = 0;
	for (size_t i = 0; i < count; i++)
		if (!strncmp(environ[i], "CPROF_", 6) || !strncmp(environ[i], "LD_PRELOAD=", 11))
			ours++;
	printf("others %zu\n", count - ours);
	qsort(environ, count, sizeof *environ, compare_text);
	for (size_t i = 0; i < count; i++)
		printf("env %s\n", environ[i]);
	struct itimerval timer;
	for (int which = 0; which < 3; which++) {
		getitimer(which, &timer);
		printf("itimer %d %ld %ld\n", which, (long)timer.it_value.tv_sec, (long)timer.it_interval.tv_usec);
	}
	printf("next fd %d\n", dup(0));
	errno = 0;
	free(malloc(100000));
	printf("errno after malloc %d\n", errno);
	spin_cpu_ns(argc > 2 ? 0 : 100000000);
	printf("errno after work %d\n", errno);
	return 0;
}
