/* SPDX-License-Identifier: MIT */
/*
 * A child that is stopped and continued again and again while it works.  Context: test program.
 */
#include <signal.h>
#include <sys/wait.h>

#include "hostile.h"

int main(void)
{
	const pid_t child = fork();
	if (child == 0) {
		for (int i = 0; i < 100; i++) {
			hostile_allocates(10);
			spin_cpu_ns(1000000);
		}
		hostile_burns(60);
		_exit(23);
	}
	int status = 0, stops = 0;
	for (int i = 0; i < 20; i++) {
		usleep(2000);
		kill(child, SIGSTOP);
		if (waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status))
			stops++;
		usleep(1000);
		kill(child, SIGCONT);
	}
	waitpid(child, &status, 0);
	say("stops %d status %d\nowes 1000\nburnt\n", stops, WEXITSTATUS(status));
	return 0;
}
