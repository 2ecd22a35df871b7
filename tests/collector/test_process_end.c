/* SPDX-License-Identifier: MIT */
/*
 * Context: tests.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_end.h"

/* A child that has ended and was not waited for. */
static pid_t zombie_of(int signal_number, int status)
{
	pid_t pid = fork();
	cr_assert(pid >= 0);
	if (pid == 0) {
		if (signal_number)
			kill(getpid(), signal_number);
		_exit(status);
	}
	siginfo_t info;
	cr_assert(zero(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT)));
	return pid;
}

static pid_t zombie(int signal_number)
{
	return zombie_of(signal_number, 3);
}

Test(process_end, is_read_from_a_zombie)
{
	pid_t killed = zombie(SIGKILL);
	pid_t exited = zombie(0);
	pid_t succeeded = zombie_of(0, 0);
	/* Where the kernel keeps no account of input and output nobody can tell. */
	cr_expect(eq(int, process_end_of(-1, succeeded),
		     access("/proc/self/io", R_OK) ? PROCESS_END_UNKNOWN : PROCESS_END_EXITED));
	waitpid(succeeded, NULL, 0);
	cr_expect(eq(int, process_end_of(-1, killed), PROCESS_END_KILLED));
	cr_expect(eq(int, process_end_of(-1, exited), PROCESS_END_EXITED));
	waitpid(killed, NULL, 0);
	waitpid(exited, NULL, 0);
}

Test(process_end, is_known_of_a_pidfd_after_the_process_was_waited_for_or_not_at_all)
{
	pid_t killed = zombie(SIGTERM);
	pid_t exited = zombie(0);
	int killed_fd = (int)syscall(SYS_pidfd_open, killed, 0);
	int exited_fd = (int)syscall(SYS_pidfd_open, exited, 0);
	waitpid(killed, NULL, 0);
	waitpid(exited, NULL, 0);
	enum process_end of_killed = process_end_of(killed_fd, 0);
	enum process_end of_exited = process_end_of(exited_fd, 0);
	cr_expect(of_killed == PROCESS_END_KILLED || of_killed == PROCESS_END_UNKNOWN);
	cr_expect(of_exited == PROCESS_END_EXITED || of_exited == PROCESS_END_UNKNOWN);
	cr_expect(eq(int, of_killed == PROCESS_END_UNKNOWN, of_exited == PROCESS_END_UNKNOWN));
	close(killed_fd);
	close(exited_fd);
}

Test(process_end, of_a_process_that_runs_is_not_known)
{
	cr_expect(eq(int, process_end_of(-1, getpid()), PROCESS_END_UNKNOWN));
	cr_expect(eq(int, process_end_of(-1, 0), PROCESS_END_UNKNOWN));
}

/* A line of /proc/PID/stat with this name, state and exit code. */
static enum process_end end_if(bool is_shown, const char *name, char state, const char *exit_code)
{
	char stat[1024];
	int n = sprintf(stat, "17 (%s) %c", name, state);
	for (int field = 4; field < 52; field++)
		n += sprintf(stat + n, " %d", field);
	sprintf(stat + n, "%s%s\n", *exit_code ? " " : "", exit_code);
	return process_end_of_stat(stat, is_shown);
}

static enum process_end end_of(const char *name, char state, const char *exit_code)
{
	return end_if(false, name, state, exit_code);
}

Test(process_end, is_found_behind_any_name)
{
	cr_expect(eq(int, end_of("a", 'Z', "9"), PROCESS_END_KILLED));
	cr_expect(eq(int, end_of("a) R 1 (b", 'Z', "139"), PROCESS_END_KILLED), "with a core");
	cr_expect(eq(int, end_of("a", 'Z', "256"), PROCESS_END_EXITED));
	cr_expect(eq(int, end_of("a", 'R', "9"), PROCESS_END_UNKNOWN));
	cr_expect(eq(int, end_of("a", 'Z', "0"), PROCESS_END_UNKNOWN), "it may be hidden");
	cr_expect(eq(int, end_if(true, "a", 'Z', "0"), PROCESS_END_EXITED));
	cr_expect(eq(int, end_if(true, "a", 'R', "0"), PROCESS_END_UNKNOWN));
	cr_expect(eq(int, end_of("a", 'Z', ""), PROCESS_END_UNKNOWN));
	cr_expect(eq(int, process_end_of_stat("", true), PROCESS_END_UNKNOWN));
	cr_expect(eq(int, process_end_of_stat("17 (a)", true), PROCESS_END_UNKNOWN));
}
