// cflags: -Iinclude -fno-optimize-sibling-calls
/* SPDX-License-Identifier: MIT */
/*
 * Says and does, once each and each in a function of its own, what a trace shows with its stack,
 * and becomes `true` in the end.  Prints its pid, those of its children, and its thread.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cprof.h"

#define APART __attribute__((noinline))

static struct cprof_task task;
static struct cprof_region region;

APART static void begins_task(void)
{
	task = cprof_task_begin("work");
}

APART static void ends_task(void)
{
	cprof_task_end(task);
}

APART static void begins_region(void)
{
	region = cprof_region_begin("part");
}

APART static void ends_region(void)
{
	cprof_region_end(region);
}

APART static void logs(void)
{
	cprof_log("note", "message");
}

APART static pid_t forks(void)
{
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	return child;
}

APART static pid_t vforks(void)
{
	pid_t child = vfork();
	if (child == 0) {
		execl("/bin/true", "true", "one", "two", (char *)NULL);
		_exit(1);
	}
	return child;
}

APART static void kills(void)
{
	kill(getpid(), SIGWINCH);
	kill(getpid(), 0);
}

APART static void raises(void)
{
	raise(SIGURG);
}

APART static void kills_thread(void)
{
	pthread_kill(pthread_self(), SIGCHLD);
}

APART static void kills_tid(void)
{
	tgkill(getpid(), gettid(), SIGCHLD);
}

APART static void calls_kernel(void)
{
	syscall(SYS_kill, getpid(), SIGWINCH);
	syscall(SYS_tkill, gettid(), SIGURG);
	syscall(SYS_tgkill, getpid(), gettid(), SIGCONT);
	syscall(SYS_tgkill, getpid(), gettid(), 0);
}

/* Sent by a child. */
APART static pid_t takes(const sigset_t *set)
{
	siginfo_t info;
	pid_t child = fork();
	if (child == 0) {
		execl("/bin/sh", "sh", "-c", "sleep 0.02; kill -USR2 $PPID", (char *)NULL);
		_exit(1);
	}
	return sigwaitinfo(set, &info) == SIGUSR2 && info.si_pid == child ? child : -1;
}

APART static int becomes_true(void)
{
	char *const variables[] = {NULL};
	return execle("/bin/true", "true", (char *)NULL, variables);
}

int main(void)
{
	int status;
	begins_task();
	begins_region();
	logs();
	ends_region();
	ends_task();
	pid_t child = forks();
	waitpid(child, &status, 0);
	pid_t other = vforks();
	if (waitpid(other, &status, 0) != other || status != 0)
		return 1;
	kills();
	raises();
	kills_thread();
	kills_tid();
	calls_kernel();
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return 1;
	pid_t sender = takes(&set);
	if (waitpid(sender, &status, 0) != sender)
		return 1;
	printf("sender %d\n", (int)sender);
	printf("pid %d\nforked %d\nvforked %d\nthread 0x%lx\n", (int)getpid(), (int)child, (int)other,
	       (unsigned long)pthread_self());
	fflush(stdout);
	return becomes_true();
}
