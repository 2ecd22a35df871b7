/* SPDX-License-Identifier: MIT */
/*
 * A debugger: traces a child that works, hands on what it is sent, steps it, reads its
 * memory, lets it go.  Context: test program.
 */
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "hostile.h"

static volatile long secret = 0x1234;

int main(void)
{
	const pid_t child = fork();
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(CANNOT_RUN);
		raise(SIGSTOP);
		hostile_allocates(20);
		hostile_burns(60);
		raise(SIGUSR2);
		execl("/bin/sh", "sh", "-c", "exit 14", (char *)NULL);
		_exit(1);
	}
	int status, usr2 = 0, execs = 0, is_stepped = 0;
	while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		int signal = WSTOPSIG(status);
		usr2 += signal == SIGUSR2;
		execs += signal == SIGTRAP && is_stepped;
		if (signal == SIGSTOP && !is_stepped) {
			is_stepped = 1;
			say("reads %lx\n", ptrace(PTRACE_PEEKDATA, child, (void *)&secret, 0));
			for (int i = 0; i < 200; i++)
				if (ptrace(PTRACE_SINGLESTEP, child, 0, 0) || waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
					return 2;
		}
		if (signal == SIGUSR2 || signal == SIGSTOP || signal == SIGTRAP)
			signal = 0;
		ptrace(PTRACE_CONT, child, 0, (void *)(long)signal);
	}
	say("usr2 %d execs %d status %d\nowes 20\nburnt\n", usr2, execs, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	return 0;
}
