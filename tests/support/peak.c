/* SPDX-License-Identifier: MIT */
/*
 * Runs a command, waits for it and for all that it leaves behind, and says how large the
 * collector ever was, as the kernel counted it:
 *
 *     peak REPORT COMMAND...
 *
 * REPORT gets "peak KB", the largest size of a process whose name begins with "cprof-" and that
 * nobody else waited for, or of one that such a process waited for.  That is the memory it had, the
 * segments' pages that it looked at included.  Ends with the status that a shell would give
 * for the command.
 *
 * Orphans become this program's children, and a process's size is asked for when it is
 * over: there is no moment that could be missed.
 *
 * Context: test program, one thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int shell_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Of a process that has ended and was not waited for yet. */
static int is_collectors(pid_t pid)
{
	char path[64], name[32] = "";
	snprintf(path, sizeof path, "/proc/%d/comm", pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	int is_read = fgets(name, sizeof name, file) != NULL;
	fclose(file);
	return is_read && !strncmp(name, "cprof-", 6);
}

int main(int argc, char **argv)
{
	FILE *report = argc < 3 ? NULL : fopen(argv[1], "we");
	if (!report) {
		fprintf(stderr, "peak: accepted: REPORT COMMAND...\n");
		return 2;
	}
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		return 77;
	pid_t child = fork();
	if (child == 0) {
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	int result = 99;
	long peak_kb = 0;
	siginfo_t ended;
	while (waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT) == 0 || errno == EINTR) {
		int status, is_ours = is_collectors(ended.si_pid);
		struct rusage usage;
		if (wait4(ended.si_pid, &status, 0, &usage) != ended.si_pid)
			continue;
		if (is_ours && usage.ru_maxrss > peak_kb)
			peak_kb = usage.ru_maxrss;
		if (ended.si_pid == child)
			result = shell_status(status);
	}
	fprintf(report, "peak %ld\n", peak_kb);
	fclose(report);
	return result;
}
