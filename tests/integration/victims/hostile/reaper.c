/* SPDX-License-Identifier: MIT */
/*
 * A subreaper, as service managers are: it waits for whatever falls to it, and knows how many
 * children it has at each moment; dies with its parent where that is asked for.
 *
 * Context: test program.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "hostile.h"

static volatile sig_atomic_t children_gone;

static void on_child(int signal)
{
	(void)signal;
	children_gone++;
}

int main(void)
{
	struct sigaction action = {0};
	action.sa_handler = on_child;
	action.sa_flags = SA_RESTART;
	sigaction(SIGCHLD, &action, NULL);
	say("at start: %s\n", outcome(waitpid(-1, NULL, WNOHANG | __WALL)));
	say("subreaper: %s\n", outcome(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)));
	for (int i = 0; i < 10; i++) {
		const pid_t child = fork();
		if (child == 0) {
			if (fork() == 0) { /* falls to the reaper */
				hostile_allocates(1);
				usleep(20000);
				_exit(30);
			}
			_exit(31);
		}
	}
	int reaped[2] = {0, 0}, status, others = 0;
	pid_t pid;
	while ((pid = waitpid(-1, &status, __WALL)) > 0 || (pid == -1 && errno == EINTR))
		if (WIFEXITED(status) && (WEXITSTATUS(status) & ~1) == 30)
			reaped[WEXITSTATUS(status) - 30]++;
		else
			others++;
	say("grandchildren %d children %d others %d then %s, signals %d\n", reaped[0], reaped[1], others, strerrorname_np(errno),
	    children_gone > 0);
	const pid_t middle = fork();
	if (middle == 0) {
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
		usleep(20000);
		_exit(0);
	}
	waitpid(middle, &status, 0);
	pid = waitpid(-1, &status, 0);
	say("dies with its parent: signal %d, owes 10\n", pid > 0 && WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	say("owes 10\n");
	hostile_works();
	return 0;
}
